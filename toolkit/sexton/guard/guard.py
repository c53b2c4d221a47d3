"""The guard: a real foreign key for live model configs, beside the revisions.

What it is made of, step by step, is data in `sexton.guard.parts`; this module makes it,
takes it away and says whether it is whole.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import errors

from sexton.chat import schema as chat
from sexton.database import Connection, rows, scalar
from sexton.ddl import execution, questions
from sexton.ddl.options import Options
from sexton.ddl.session import own_session
from sexton.ddl.steps import Step
from sexton.ddl.upgrade_lock import require_direct, upgrade_lock
from sexton.errors import Busy, Refused, SextonError
from sexton.guard import facts, parts

SET, INCOMPLETE, NONE = "set", "incomplete", "none"


def status(connection: Connection) -> dict[str, Any]:
    """The document that `guard status --format json` prints. Reads the catalogs only.

    `guard` is `set` where every part is there by its definition, `none` where no part is,
    else `incomplete`; `constraint` is the name of the key, once it is valid. Raises
    WrongSchema where the tables are not there.
    """
    chat.require_models(connection)
    there = {part: bool(scalar(connection, query)) for part, query in facts.PARTS.items()}
    anything = bool(scalar(connection, facts.ANYTHING))
    return {
        "guard": SET if all(there.values()) else INCOMPLETE if anything else NONE,
        "constraint": key(connection),
        "parts": [{"part": part, "there": found} for part, found in there.items()],
    }


def key(connection: Connection) -> str | None:
    """The name of the guard's key, where it is there and valid."""
    found = rows(
        connection,
        f"select k.conname as name {facts.KEYS} and k.convalidated order by k.conname",
    )
    return str(found[0]["name"]) if found else None


def drift(connection: Connection) -> list[str]:
    """One sentence for each part that is missing from a guard that was begun."""
    found = status(connection)
    if found["guard"] != INCOMPLETE:
        return []
    missing = [part["part"] for part in found["parts"] if not part["there"]]
    return [
        f"the guard is incomplete, it lacks {', '.join(missing)}: "
        "sexton guard add makes it whole, sexton guard remove takes it away"
    ]


def add(connection: Connection, options: Options | None = None) -> list[str]:
    """Make what is not there yet; return the titles of the steps that did something.

    `connection` is in autocommit mode; each step commits by itself, and killed anywhere
    it can be run again. Raises WrongSchema below revision 0002, Refused where live configs
    are orphans, Busy where a lock could not be had, WrongServer behind a pooler or
    without the right.
    """
    return _run(connection, parts.ADD, options or Options())


def remove(connection: Connection, options: Options | None = None) -> list[str]:
    """Take away everything that `add` made, in one transaction; errors as for `add`."""
    if scalar(connection, facts.ANYTHING) is False:
        return []
    return _run(connection, parts.REMOVE, options or Options())


def require(connection: Connection, verb: str) -> None:
    """Insist on the tables, and for `add` on tombstones; raises WrongSchema."""
    chat.require_models(connection)
    if verb == "add":
        chat.require_tombstones(connection)


def _run(
    connection: Connection, which: Sequence[dict[str, Any]], options: Options
) -> list[str]:
    require(connection, "add" if which is parts.ADD else "remove")
    require_direct(connection)
    with own_session(connection), upgrade_lock(connection, options):
        for step in map(Step.of, which):
            # What the data forbids is said before the first step, not in the middle.
            if not _is_done(connection, step):
                questions.refuse(connection, step, options)
        try:
            return execution.run(connection, which, options)
        except (Busy, Refused) as error:
            raise _say_where(error) from None
        except errors.DependentObjectsStillExist as error:
            raise Refused(
                f"the database refused: {error.diag.message_primary}: "
                f"{error.diag.message_detail}"
            ) from None


def _is_done(connection: Connection, step: Step) -> bool:
    try:
        return questions.is_done(connection, step)
    except errors.UndefinedColumn:
        return False  # it asks for rows by a column that an earlier step makes


def _say_where(error: SextonError) -> SextonError:
    lines = [error.message, *(f"  {note}" for note in getattr(error, "__notes__", ()))]
    if len(lines) > 1:
        lines.append("  every step is whole: running it again goes on from there")
    error.message = "\n".join(lines)
    error.args = (error.message,)
    return error
