"""Setting a guard and taking it away, step by step: each commits by itself."""

from collections.abc import Sequence

from psycopg import errors

from sexton.database import Connection
from sexton.ddl import execution, questions
from sexton.ddl.options import Options
from sexton.ddl.session import own_session
from sexton.ddl.steps import Step
from sexton.ddl.upgrade_lock import require_direct, upgrade_lock
from sexton.errors import Busy, Refused, SextonError, WrongSchema
from sexton.guard.binding import bind, immutable, loosely, offline
from sexton.guard.definition import Guard
from sexton.guard.replacing import clear_steps, set_steps
from sexton.guard.spec import GuardSpec
from sexton.guard.status import anything
from sexton.guard.steps import add_steps, remove_steps


def planned(
    connection: Connection | None, verb: str, spec: GuardSpec | Guard
) -> list[Step]:
    """The steps of `add` or `remove`, as far as they can be known now.

    Without a connection, or where the tables are still to be made, the conditions must
    be such as `not deleted`; raises WrongSchema for others, Refused as `add` does.
    """
    made = add_steps if verb == "add" else remove_steps
    if connection is None:
        return made(spec if isinstance(spec, Guard) else offline(spec))
    try:
        if verb == "remove":
            return clear_steps(connection, loosely(connection, spec))
        return set_steps(connection, immutable(connection, bind(connection, spec)))
    except WrongSchema:
        if isinstance(spec, Guard):
            raise
        return made(offline(spec, connection))


def add(
    connection: Connection, *specs: GuardSpec | Guard, options: Options | None = None
) -> list[str]:
    """Make what is not there yet; return the titles of the steps that did something.

    `connection` is in autocommit mode; each step commits by itself, and killed anywhere
    it can be run again. What forbids one of the guards is asked of all of them before the
    first step. A guard of another condition gives way once this one is whole; until then
    both hold. Raises WrongSchema where a table or column is missing, Refused where live
    rows are orphans or PostgreSQL cannot, Busy where a lock could not be had, WrongServer
    behind a pooler or without the right.
    """
    bound = [immutable(connection, bind(connection, one)) for one in specs]
    steps = [step for guard in bound for step in set_steps(connection, guard)]
    return _run(connection, steps, options or Options())


def remove(
    connection: Connection, *specs: GuardSpec | Guard, options: Options | None = None
) -> list[str]:
    """Take away everything that `add` made, a guard in a transaction; errors as there.

    What other guards share stays until the last of them goes.
    """
    steps = [
        step
        for one in specs
        if anything(connection, one)
        for step in clear_steps(connection, loosely(connection, one))
    ]
    return _run(connection, steps, options or Options()) if steps else []


def _run(connection: Connection, which: Sequence[Step], options: Options) -> list[str]:
    require_direct(connection)
    with own_session(connection), upgrade_lock(connection, options):
        forbidden: list[Refused] = []
        found = questions.look_up(connection, *which)
        for step in which:
            # What the data forbids is said before the first step, not in the middle.
            if not _is_done(connection, step, found):
                locked = [found[name] for name in step.tables if name in found]
                questions.require_owner(connection, locked)
                try:
                    questions.refuse(connection, step, options, found)
                except Refused as error:
                    forbidden.append(error)
        if forbidden:
            raise _together(forbidden)
        try:
            return execution.run(connection, which, options)
        except (Busy, Refused) as error:
            raise _say_where(error) from None
        except errors.DependentObjectsStillExist as error:
            raise Refused(
                f"the database refused: {error.diag.message_primary}: "
                f"{error.diag.message_detail}"
            ) from None


def _together(forbidden: list[Refused]) -> Refused:
    """One refusal of several."""
    messages = dict.fromkeys(error.message for error in forbidden)
    hints = dict.fromkeys(error.hint for error in forbidden if error.hint)
    return Refused(
        "\n  ".join(messages) + "; nothing was changed", hint="; ".join(hints) or None
    )


def _is_done(connection: Connection, step: Step, found: questions.Tables) -> bool:
    try:
        return questions.is_done(connection, step, found)
    except errors.UndefinedColumn:
        return False  # it asks for rows by a column that an earlier step makes


def _say_where(error: SextonError) -> SextonError:
    lines = [error.message, *(f"  {note}" for note in getattr(error, "__notes__", ()))]
    if len(lines) > 1:
        lines.append("  what was done stays, and is whole: run the command again to finish")
    error.message = "\n".join(lines)
    error.args = (error.message,)
    return error
