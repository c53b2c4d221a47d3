"""Upgrade and downgrade: walk a route, and say in our words what went wrong."""

import contextlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import exc

from sexton.alembic import Record
from sexton.catalog import schema
from sexton.database import Connection
from sexton.ddl import execution
from sexton.ddl.begun import forget
from sexton.ddl.options import Options
from sexton.ddl.session import secure_session
from sexton.ddl.upgrade_lock import require_direct, upgrade_lock
from sexton.declarations.environment import own_environment
from sexton.errors import (
    Busy,
    Incomplete,
    SchemaDrift,
    SextonError,
    WrongSchema,
    was_interrupted,
)
from sexton.guard.status import SET, status
from sexton.journal.schema_changes import moved, recorded
from sexton.online.drivers import driver_of, team_engine
from sexton.online.run_steps import here
from sexton.online.team_code import Boundary, of_server
from sexton.postgres.connect import another
from sexton.project import current
from sexton.upgrade.drift import verify
from sexton.upgrade.own import (
    OwnRoute,
    find_own_route,
    is_own,
    point,
    quietly,
    run_env,
)
from sexton.upgrade.preflight import require_clear
from sexton.upgrade.right_database import require_right_database
from sexton.upgrade.route import (
    BASE,
    GUARD,
    REVISION,
    Move,
    Route,
    find_route,
    guard_steps,
    known,
)

UNCHANGED = "; nothing was changed"
__all__ = ["Options", "downgrade", "head", "revisions", "upgrade"]


def config() -> Config:
    """Alembic's configuration in code, for alembic.ini is not in the wheel."""
    made = Config()
    made.set_main_option("script_location", str(current().migrations).replace("%", "%%"))
    return made


def revisions() -> list[str]:
    """All revisions, oldest first."""
    return [revision.number for revision in known()]


def head() -> str:
    """The newest revision."""
    return revisions()[-1]


def upgrade(
    connection: Connection,
    target: str = "head",
    options: Options | None = None,
    *,
    guarded: bool = False,
    create: bool = False,
    force: bool = False,
) -> list[str]:
    """Go up to `target` and return what was applied; nothing if it was there already.

    With `guarded`, the guard is set before the plain key goes, and "guard" returned in
    its place. With `create`, the tables are made in a database that has others; with
    `force`, also where others count on what goes; a team's own environment knows none of
    the three.

    `connection` is only looked at; the work is done on others to the same place. Afterwards
    the catalogs are read, and drift is an error. Raises UsageError for an unknown target,
    WrongSchema for a database that is not ours, Refused, before the first step, where the
    data or the place forbids it, Busy where a lock could not be had, WrongServer behind a
    pooler or without the right, SchemaDrift.
    """
    if is_own():
        own = find_own_route(connection, "up", target)
        return walk(connection, own, options or Options())
    route = find_route(connection, "up", target, guarded=guarded)
    require_right_database(connection, route, create=create, force=force)
    return walk(connection, route, options or Options())


def downgrade(
    connection: Connection,
    target: str,
    options: Options | None = None,
    *,
    force: bool = False,
) -> list[str]:
    """Go down to `target` and return what was reverted; errors as for `upgrade`.

    With `force`, also what was there before the database was adopted.
    """
    if is_own():
        own = find_own_route(connection, "down", target)
        return walk(connection, own, options or Options())
    route = find_route(connection, "down", target)
    require_right_database(connection, route, force=force)
    return walk(connection, route, options or Options())


def walk(connection: Connection, route: Route, options: Options) -> list[str]:
    """Make a route's moves, verify, and return their names; the journal has the run.

    Of a revision that is interrupted, it has the titles of the steps that were made.
    """
    before, done, begun = revision(connection, route), list[str](), list[str]()
    kind = "upgrade" if route.direction == "up" else "downgrade"
    options = replace(options, kind=kind, makes_journal=True)

    def changed() -> dict[str, Any]:
        return moved(before, revision(connection, route), done, begun)

    idle = not any(_has_work(connection, move, route.direction) for move in route.moves)
    with recorded(connection, kind, changed, options.say, idle=idle):
        _walk(connection, route, options, done, begun)
    return done


def _has_work(connection: Connection, move: Move, direction: str) -> bool:
    """Whether a move may change something; setting a guard that is there does not."""
    if move.kind != GUARD or direction != "up":
        return True
    try:
        return bool(status(connection, *current().guards)["guard"] != SET)
    except WrongSchema:  # its tables come before it
        return True


def revision(connection: Connection, route: Route) -> str | None:
    """Where the database is now, by the version table of the route's environment."""
    if isinstance(route, OwnRoute):
        return route.revision(connection)
    return schema.revision(connection)


def _walk(
    connection: Connection,
    route: Route,
    options: Options,
    done: list[str],
    begun: list[str],
) -> None:
    clear = False
    try:
        if route.moves:
            require_clear(connection, route, options)
        clear = True
        for moves in _stretches(route):
            if moves[0].kind == REVISION:
                _by_alembic(connection, route, moves, options, done, begun)
            else:
                done += _by_ourselves(connection, route, moves[0], options)
    except (KeyboardInterrupt, Exception) as error:
        notes = getattr(error, "__notes__", ())
        said = _translate(error)
        if begun or done:  # what an error of one step says is not so of the whole
            said.message = said.message.replace(UNCHANGED, "")
        raise _say_where(said, notes, connection, route, done if clear else None) from None
    if route.promised:
        verify(connection)
    elif route.reported and not route.moves:
        raise SchemaDrift("\n  ".join(route.reported))
    for sentence in route.reported:
        options.say(f"warning: {sentence}")


def _stretches(route: Route) -> list[list[Move]]:
    """The moves; revisions that follow each other stand together."""
    found: list[list[Move]] = []
    for move in route.moves:
        if found and move.kind == REVISION == found[-1][-1].kind:
            found[-1].append(move)
        else:
            found.append([move])
    return found


def _by_alembic(
    connection: Connection,
    route: Route,
    moves: list[Move],
    options: Options,
    done: list[str],
    begun: list[str],
) -> None:
    own = isinstance(route, OwnRoute)
    goal = route.target if isinstance(route, OwnRoute) else moves[-1].end or BASE
    given, record = own_environment(current()) if own else config(), Record()
    given.attributes.update(options=options, record=record)
    named = given.get_main_option("sqlalchemy.url")
    script = ScriptDirectory.from_config(given)
    boundary = Boundary(script).around() if own else contextlib.nullcontext()
    try:
        with (
            boundary,
            quietly(),
            team_engine(
                connection, f"sexton to {goal}", driver_of(named) if own else "psycopg"
            ).connect() as working,
        ):
            given.attributes["connection"] = working
            if own:
                point(given, connection)
            run_env(given, route.direction, goal)
    finally:
        done += record.revisions
        begun += record.titles


def _by_ourselves(
    connection: Connection, route: Route, move: Move, options: Options
) -> list[str]:
    """Make a guard's or a heal's steps, which change no revision."""
    with closing(another(connection, name=f"sexton {move.name}")) as working:
        require_direct(working)
        secure_session(working)
        at = execution.At((move.start,) if move.start else ())
        if isinstance(route, OwnRoute):
            at = here(working, route.table, route.schema)
        with upgrade_lock(working, options, at.schema):
            if move.kind == GUARD:  # what the moves before made can be read by now
                steps = guard_steps(working, route.direction)
                made = execution.run(working, steps, options)
            else:
                made = execution.run(working, move.steps, options, at=at)
                forget(working)
    return [move.name] if made else []


def _translate(error: BaseException) -> SextonError:
    """A failure in our words, with our exit code; raises what is a bug."""
    if was_interrupted(error) and not isinstance(error, SextonError):
        return Incomplete("interrupted")
    if isinstance(error, exc.DBAPIError) and isinstance(error.orig, psycopg.Error):
        error = error.orig
    if isinstance(error, SextonError):
        return error
    if isinstance(error, CommandError):
        # What alembic planned no longer fits: somebody has changed the version row.
        return Busy(f"another upgrade is at work: {error}")
    if isinstance(error, psycopg.Error):
        return of_server(error)
    raise error


def _say_where(
    error: SextonError,
    notes: Sequence[str],
    connection: Connection,
    route: Route,
    done: list[str] | None,
) -> SextonError:
    """Add to a failure which step it was and where the database stands.

    `done` is None before the first step.
    """
    lines = [error.message, *(f"  {note}" for note in notes)]
    at: Any = None
    if not connection.closed and not connection.broken:
        try:
            at = revision(connection, route) or "no revision"
        except psycopg.Error:
            at = None
    untouched = UNCHANGED in error.message
    if at and done is None and not untouched:
        lines.append(f"  the database is at {at}; nothing was changed")
    elif at and done is not None and not untouched:
        since = f", having done {', '.join(done)}" if done else ""
        again = "run the same command again to resume"
        if isinstance(route, OwnRoute) and route.leaves_halves(done):
            again = "but plain operations of the next one may be done: look, before it"
            again += " is run again"
        lines.append(f"  the database is at {at}{since}, {again}")
    error.message = "\n".join(lines)
    error.args = (error.message,)
    return error
