"""Upgrade and downgrade: run the revisions through alembic, and say it in our words."""

import threading
from collections.abc import Callable
from contextlib import closing

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import exc

from sexton import schema
from sexton.chat import schema as chat
from sexton.database import Connection, connect, scalar
from sexton.ddl.waiting import Options
from sexton.engine import engine
from sexton.errors import Busy, Refused, SextonError, UsageError, WrongSchema, WrongServer
from sexton.guard import facts, guard
from sexton.project import current
from sexton.server_errors import to_sexton_error
from sexton.upgrade.drift import verify

__all__ = ["BASE", "Options", "downgrade", "head", "revisions", "upgrade"]

BASE = "base"
GUARD = "guard"  # stands among the revisions made, in its place
NEEDED_BY_GUARD = "0002"
LAST_WITH_KEY = "0003"  # at it, the guard comes and goes: never without either
_one_thread = threading.Lock()  # alembic keeps its context in module-level state


def config() -> Config:
    """Alembic's configuration in code, for alembic.ini is not in the wheel."""
    made = Config()
    made.set_main_option("script_location", str(current().migrations).replace("%", "%%"))
    return made


def revisions() -> list[str]:
    """All revisions, oldest first."""
    script = ScriptDirectory.from_config(config())
    return [found.revision for found in script.walk_revisions()][::-1]


def head() -> str:
    """The newest revision."""
    return revisions()[-1]


def upgrade(
    connection: Connection,
    address: str,
    target: str = "head",
    options: Options | None = None,
    *,
    guarded: bool = False,
) -> list[str]:
    """Go up to `target` and return the revisions made; none if it was there already.

    With `guarded`, the guard is set before the plain key goes, and "guard" returned in
    its place.

    `connection` is only looked at; the work is done on others to `address`. Afterwards
    the catalogs are read, and drift is an error. Raises UsageError for an unknown target,
    WrongSchema for a database that is not ours, Refused where the data forbids it, Busy
    where a lock could not be had, WrongServer behind a pooler or without the right,
    SchemaDrift.
    """
    wanted, goal = way_up(connection, target)
    place = place_of_guard(connection, "up", wanted, goal, guarded=guarded)
    made = []
    if place:
        made += _alembic(command.upgrade, connection, address, wanted[place - 1], options)
    if place is not None:
        made += _guard(guard.add, address, options)
    if wanted[place or 0 :]:
        made += _alembic(command.upgrade, connection, address, goal, options)
    verify(connection)
    return made


def downgrade(
    connection: Connection,
    address: str,
    target: str,
    options: Options | None = None,
) -> list[str]:
    """Go down to `target` and return the revisions undone; errors as for `upgrade`."""
    wanted, goal = way_down(connection, target)
    place = place_of_guard(connection, "down", wanted, goal)
    made = []
    if place:
        stop = below(wanted[place - 1]) or BASE
        made += _alembic(command.downgrade, connection, address, stop, options)
    if place is not None:
        made += _guard(guard.remove, address, options)
    if wanted[place or 0 :]:
        made += _alembic(command.downgrade, connection, address, goal, options)
    verify(connection)
    return made


def place_of_guard(
    connection: Connection, way: str, wanted: list[str], goal: str, *, guarded: bool = False
) -> int | None:
    """How many of the revisions on the way come before the guard does, or goes.

    None where it has nothing to do. On the way up it comes, if `guarded`, while the plain
    key stands; on the way down it goes, if it is there, once the plain key is back.
    """
    if way == "up":
        if guarded and goal < NEEDED_BY_GUARD:
            raise UsageError(
                f"the guard needs tombstones, and {goal} has none",
                hint=f"sexton upgrade {LAST_WITH_KEY} --guard",
            )
        before = sum(number <= LAST_WITH_KEY for number in wanted)
        return before if guarded else None
    if not wanted or (goal != BASE and goal > LAST_WITH_KEY):
        return None
    there = bool(scalar(connection, facts.ANYTHING))
    return sum(number > LAST_WITH_KEY for number in wanted) if there else None


def below(number: str) -> str | None:
    """The revision that comes before this one, or None."""
    known = revisions()
    place = known.index(number)
    return known[place - 1] if place else None


def _guard(
    change: Callable[[Connection, Options | None], list[str]],
    address: str,
    options: Options | None,
) -> list[str]:
    with closing(connect(address, name="sexton guard")) as working:
        return [GUARD] if change(working, options) else []


def way_up(connection: Connection, target: str) -> tuple[list[str], str]:
    """The revisions to make, in order, and the one they end at."""
    goal, known = _number(target), revisions()
    # Before the revision: another upgrade may commit both together between the looks.
    there = schema.columns(connection, chat.MODELS)
    current = current_revision(connection)
    if current is None and there:
        raise WrongSchema(
            f"{chat.MODELS} exists, but no revision is recorded for it",
            hint="sexton adopt recognises such a database",
        )
    have = known.index(current) + 1 if current else 0
    if have > known.index(goal) + 1:
        raise UsageError(
            f"the database is at {current} already, above {goal}",
            hint=f"sexton downgrade {goal}",
        )
    return known[have : known.index(goal) + 1], goal


def way_down(connection: Connection, target: str) -> tuple[list[str], str]:
    """The revisions to undo, in order, and the one they end at."""
    current, known = current_revision(connection), revisions()
    have = known.index(current) + 1 if current else 0
    goal = target if target == BASE else _number(target)
    keep = 0 if goal == BASE else known.index(goal) + 1
    if keep > have:
        raise UsageError(
            f"the database is at {current or BASE}, below {goal}",
            hint=f"sexton upgrade {goal}",
        )
    return known[keep:have][::-1], goal


def current_revision(connection: Connection) -> str | None:
    """The database's revision, or None; raises WrongSchema for one we do not know."""
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


def _alembic(
    run: Callable[[Config, str], None],
    connection: Connection,
    address: str,
    goal: str,
    options: Options | None,
) -> list[str]:
    given, made = config(), list[str]()
    given.attributes.update(options=options or Options(), made=made)
    try:
        with _one_thread, engine(address, f"sexton to {goal}").connect() as working:
            given.attributes["connection"] = working
            run(given, goal)
    except (SextonError, CommandError, psycopg.Error, exc.DBAPIError) as error:
        raise _say_where(_plain(error), connection, made) from None
    return made


def _plain(error: Exception) -> SextonError:
    """A failure in our words, with our exit code."""
    if isinstance(error, exc.DBAPIError) and isinstance(error.orig, psycopg.Error):
        error = error.orig
    if isinstance(error, SextonError):
        return error
    if isinstance(error, CommandError):
        # What alembic planned no longer fits: somebody has changed the version row.
        return Busy(f"another upgrade is at work: {error}")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return WrongServer(
            f"the role may not change the schema: {error.diag.message_primary}",
            hint="connect as the owner of the tables",
        )
    if isinstance(error, psycopg.errors.DependentObjectsStillExist):
        return Refused(f"the database refused: {error.diag.message_primary}")
    if isinstance(error, psycopg.Error):
        return to_sexton_error(error)
    raise error


def _say_where(error: SextonError, connection: Connection, made: list[str]) -> SextonError:
    """Add to a failure which step it was and where the database stands."""
    lines = [error.message, *(f"  {note}" for note in getattr(error, "__notes__", ()))]
    if not connection.closed and not connection.broken:
        try:
            at = schema.revision(connection) or "no revision"
        except psycopg.Error:
            at = None
        if at:
            since = f", having done {', '.join(made)}" if made else ""
            lines.append(
                f"  the database is at {at}{since}, and every step is whole: "
                "running it again goes on from there"
            )
    error.message = "\n".join(lines)
    error.args = (error.message,)
    return error
