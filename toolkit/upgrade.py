"""Upgrade and downgrade: run the revisions through alembic, and say it in our words."""

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import exc

import migrations
from migrations.pooler import ADVICE
from migrations.steps import REFUSED
from toolkit import schema
from toolkit.database import Connection, plain, rows
from toolkit.engine import engine
from toolkit.errors import Refused, SextonError, UsageError, WrongSchema

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = "base"


def config() -> Config:
    """Alembic's configuration in code, for alembic.ini is not in the wheel."""
    made = Config()
    home = Path(migrations.__file__).parent
    made.set_main_option("script_location", str(home).replace("%", "%%"))
    return made


def revisions() -> list[str]:
    """All revisions, oldest first."""
    script = ScriptDirectory.from_config(config())
    return [found.revision for found in script.walk_revisions()][::-1]


def head() -> str:
    """The newest revision."""
    return revisions()[-1]


def upgrade(connection: Connection, address: str, target: str = "head") -> list[str]:
    """Go up to `target` and return the revisions made; none if it was there already.

    `connection` is only looked at; the work is done on a second one to `address`.
    Raises UsageError for an unknown target, WrongSchema for a database that is not ours,
    Refused where the data forbids it, Busy where a lock could not be had.
    """
    current, goal = _from(connection), _number(target)
    if current is None and schema.columns(connection, schema.MODELS):
        raise WrongSchema(
            f"{schema.MODELS} exists, but no revision is recorded for it",
            hint="sexton adopt recognises such a database",
        )
    known = revisions()
    have = known.index(current) + 1 if current else 0
    wanted = known[have : known.index(goal) + 1]
    if have > known.index(goal) + 1:
        raise UsageError(
            f"the database is at {current} already, above {goal}",
            hint=f"sexton downgrade {goal}",
        )
    if wanted:
        run_alembic(command.upgrade, address, goal)
    return wanted


def downgrade(connection: Connection, address: str, target: str) -> list[str]:
    """Go down to `target` and return the revisions undone; errors as for `upgrade`."""
    current = _from(connection)
    known = revisions()
    have = known.index(current) + 1 if current else 0
    keep = 0 if target == BASE else known.index(_number(target)) + 1
    if keep > have:
        raise UsageError(
            f"the database is at {current or BASE}, below {target}",
            hint=f"sexton upgrade {target}",
        )
    undone = known[keep:have][::-1]
    _foresee(connection, undone)
    if undone:
        run_alembic(command.downgrade, address, target)
    return undone


def _foresee(connection: Connection, undone: list[str]) -> None:
    """Refuse before the first step what the data would make the last one refuse."""
    script = ScriptDirectory.from_config(config())
    for number in undone:
        for step in script.get_revision(number).module.DOWNGRADE:
            for query, sentence in step.get("refuse", ()):
                for row in rows(connection, query):
                    raise Refused(sentence.format_map(row))


def _from(connection: Connection) -> str | None:
    current = schema.revision(connection)
    if current is not None and current not in revisions():
        raise WrongSchema(
            f"the database is at revision {current!r}, which this Sexton does not know",
            hint="use the Sexton that made it, or a newer one",
        )
    return current


def _number(target: str) -> str:
    known = revisions()
    if target == "head":
        return known[-1]
    if target not in known:
        raise UsageError(
            f"there is no revision {target!r}",
            hint=f"choose one of {', '.join(known)}, head",
        )
    return target


def run_alembic(run: "Callable[[Config, str], None]", address: str, revision: str) -> None:
    """Run one of alembic's commands on a connection of its own; errors become ours."""
    made = config()
    try:
        with engine(address, f"sexton to {revision}").connect() as connection:
            made.attributes["connection"] = connection
            run(made, revision)
    except CommandError as error:
        raise _refusal(str(error)) from None
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise Refused(error.diag.message_primary) from None
    except psycopg.Error as error:
        raise plain(error) from None
    except exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise plain(error.orig) from None
        raise


def _refusal(message: str) -> SextonError:
    if message.startswith(REFUSED):
        return Refused(message.removeprefix(REFUSED))
    return WrongSchema(message, hint=ADVICE if "pooler" in message else None)
