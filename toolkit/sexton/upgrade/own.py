"""The team's own environment: where its database is, and the route to another revision.

Its env.py is run as Alembic runs it. What it configures and runs is Sexton's to do, which
at first only looks: no version table is made, and the connection is read-only.
"""

import contextlib
import io
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import HeadMaintainer, MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from sexton.alembic import inside, manage
from sexton.database import Connection
from sexton.ddl.engine import engine
from sexton.ddl.execution import At
from sexton.ddl.options import Options
from sexton.declarations.environment import own_environment
from sexton.errors import Incomplete, SextonError, UsageError, WrongSchema
from sexton.online.beside import asked, end_transaction, same_database
from sexton.online.drivers import url_of
from sexton.online.run_steps import here
from sexton.online.surroundings import autocommit
from sexton.online.team_code import Boundary, first_line, require_revisions
from sexton.postgres.session import set_parameters
from sexton.project import current
from sexton.text.printable import printable
from sexton.upgrade.halves import heals
from sexton.upgrade.plain import Plain
from sexton.upgrade.recording import Recorder
from sexton.upgrade.route import BASE, REVISION, Move, Route

Seen = TypeVar("Seen")
one_thread = threading.Lock()  # alembic keeps its context in module-level state
ENV = (
    "it may be what `alembic init` writes, or: from alembic import context; "
    "import sexton.alembic; sexton.alembic.run_migrations(context, target_metadata=…)"
)


@dataclass(frozen=True)
class OwnRoute(Route):
    """A route through the team's own revisions.

    `target` is what Alembic is given; the version table is `table`, in `schema`.
    `reported` is what seems to be left of an interrupted walk of which there is no record.
    """

    promised: ClassVar[bool] = False
    target: str
    table: str
    schema: str
    reported: tuple[str, ...] = ()

    def leaves_halves(self, done: Sequence[str]) -> bool:
        """Whether plain operations of the first revision that is not done may be."""
        left = [m for m in self.moves if m.kind == REVISION and m.name not in done]
        plain = [isinstance(step, Plain) for step in left[0].steps] if left else []
        return sorted(plain) != plain  # a step of Sexton's, which commits, comes after one

    def revision(self, connection: Connection) -> str | None:
        """The database's revision now; several heads stand side by side."""
        return _side_by_side(here(connection, self.table, self.schema).revisions)


def is_own() -> bool:
    """Whether the project in use has an environment of its own."""
    return current().alembic is not None


def find_own_route(connection: Connection, direction: str, target: str) -> OwnRoute:
    """The route to what Alembic calls so: a revision, head, heads, base, +1, branch@head.

    Raises UsageError for a target that is none, or lies the other way, and for an env.py
    that does not call `sexton.alembic.run_migrations`; WrongSchema for a database at a
    revision that is not there. Reads only.
    """

    def see(
        context: MigrationContext, script: ScriptDirectory, names: dict[str, Any]
    ) -> OwnRoute:
        heads = _heads(context, script)
        way = script._upgrade_revs if direction == "up" else script._downgrade_revs
        try:
            found = way(target, heads)  # type: ignore[arg-type]
        except (CommandError, AssertionError) as error:
            at = _side_by_side(heads) or BASE
            raise UsageError(
                f"no way {direction} to {target!r} from {at}: {first_line(error)}",
                hint="`alembic history` lists the revisions; of several heads, name one "
                "as REVISION or BRANCH@head, or all as heads",
            ) from None
        position, recorder = _Heads(context, heads), Recorder(context, names)
        moves = list[Move]()
        start = before = _side_by_side(heads)
        for step in found:
            position.update_to_step(step)
            after = _side_by_side(position.heads)
            steps = recorder.record(step)
            moves.append(Move(REVISION, step.revision.revision, before, after, steps))
            before = after
        there = _at(context)
        record = Recorder(context, names).record
        healing, reported = heals(_driver(context), script, heads, direction, record)
        return OwnRoute(
            direction,
            start,
            before,
            (*healing, *moves),
            # Not relative to where the database will be by then, where that can be said.
            target=target if before and ", " in before else before or BASE,
            table=there.table,
            schema=there.schema,
            reported=tuple(reported),
        )

    return _look(connection, target, see)


def at_and_head(connection: Connection) -> tuple[str | None, str | None]:
    """Where the team's database is, and the newest revision; raises as above."""

    def see(
        context: MigrationContext, script: ScriptDirectory, _: dict[str, Any]
    ) -> tuple[str | None, str | None]:
        heads = _heads(context, script)
        return _side_by_side(heads), _side_by_side(script.get_heads())

    return _look(connection, "heads", see)


def own_script(connection: Connection, route: OwnRoute, options: Options) -> str:
    """Alembic's offline script of a route, with Sexton's steps in it. Writes nothing."""
    if not route.moves:
        return f"-- at {route.start or BASE} already: nothing to do"
    if healing := [move.name for move in route.moves if move.kind != REVISION]:
        raise Incomplete(
            f"an interrupted run is to be completed first, of which there is no script: "
            f"{', '.join(healing)}",
            hint=f"sexton {'up' if route.direction == 'up' else 'down'}grade completes it",
        )
    if route.start and ", " in route.start:
        raise UsageError(
            f"the database is at several heads ({route.start}), from which Alembic "
            "prints no script",
            hint="merge them first: alembic merge heads",
        )
    config = own_environment(current())
    config.output_buffer = printed = io.StringIO()
    config.attributes["options"] = options
    point(config, connection)
    try:
        with quietly():
            run_env(config, route.direction, route.target, start=route.start or BASE)
    except SextonError:
        raise
    except Exception as error:
        raise Incomplete(
            "there is no script of it, for a revision asks the database: "
            f"{type(error).__name__}: {first_line(error)}",
            hint="--plan says what it does",
        ) from None
    said = printed.getvalue().strip()
    if route.start is None:
        # The version table comes first, and may be there: `alembic current` makes it too.
        said = said.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1)
    return said


def _look(
    connection: Connection,
    target: str,
    see: Callable[[MigrationContext, ScriptDirectory, dict[str, Any]], Seen],
) -> Seen:
    """Run the env.py to look, and return what `see` makes of it."""
    config = own_environment(current())
    script = ScriptDirectory.from_config(config)
    file = Path(script.dir) / "env.py"
    found: list[Seen] = []
    elsewhere: list[str] = []

    require_revisions(script)

    with (
        Boundary(script).around(),
        quietly(),
        engine(connection, "sexton, looking", read_only=True).connect() as working,
    ):
        driver: Any = working.connection.driver_connection
        ours = asked(working)

        def look(
            context: Any, configured: dict[str, Any], theirs: Any, names: dict[str, Any]
        ) -> None:
            if theirs is not None and theirs is not working:
                if not same_database(at := asked(theirs), ours):
                    elsewhere.append(str(at["database"]))
                    return
                end_transaction(theirs)
                path = theirs.exec_driver_sql("show search_path").scalar_one()
                theirs.rollback()
                with autocommit(driver):
                    set_parameters(driver, {"search_path": path})
            with inside(context):
                context.configure(connection=working, **configured)
                found.append(see(context.get_context(), script, names))

        config.attributes.update(connection=working, look=look)
        point(config, driver)
        run_env(config, "look", target)
    if not found and elsewhere:
        raise UsageError(
            f"{printable(str(file))} connects to the database {printable(elsewhere[0])}, "
            f"not to {printable(str(ours['database']))} of the server that was asked for",
            hint="let it use the sqlalchemy.url of its configuration, or name its database "
            "in --url",
        )
    if not found:
        raise UsageError(f"{file} does not call context.run_migrations()", hint=ENV)
    if len(found) > 1:
        raise UsageError(
            f"{file} runs the migrations {len(found)} times in one database, and only one "
            "of them can be looked at and journalled at a time",
            hint="let it run one for each `-x` argument, or use plain alembic with "
            "sexton.alembic.attach(context) in env.py",
        )
    return found[0]


def point(config: Config, connection: Any) -> None:
    """Let the environment's own `sqlalchemy.url` be the database that was asked for."""
    url = url_of(connection, config.get_main_option("sqlalchemy.url"))
    text = url.render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", text.replace("%", "%%"))


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what is loaded from writing its compiled self, or into a document."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with one_thread, contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.dont_write_bytecode = before


def run_env(config: Config, direction: str, target: str, start: str | None = None) -> None:
    """Run env.py as Alembic's commands do; `look` may change nothing.

    With `start`, it prints a script, which begins there.
    """
    script = ScriptDirectory.from_config(config)

    def look(*_: object) -> Any:
        raise AssertionError("env.py ran revisions, and was only to look")

    def upgrade(revision: Any, _: Any) -> Any:
        return script._upgrade_revs(target, revision)

    def downgrade(revision: Any, _: Any) -> Any:
        return script._downgrade_revs(target, revision)

    ways: dict[str, Callable[..., Any]] = {"up": upgrade, "down": downgrade, "look": look}
    with EnvironmentContext(
        config,
        script,
        fn=ways[direction],
        as_sql=start is not None,
        starting_rev=start,
        destination_rev=target,
        **({"dont_mutate": True} if direction == "look" else {}),
    ) as environment:
        manage(environment)
        script.run_env()


class _Heads(HeadMaintainer):
    """Where a database would be after each step, without telling it."""

    def _insert_version(self, version: str) -> None:
        self.heads.add(version)

    def _delete_version(self, version: str) -> None:
        self.heads.remove(version)

    def _update_version(self, from_: str, to_: str) -> None:
        self.heads.remove(from_)
        self.heads.add(to_)


def _driver(context: MigrationContext) -> Any:
    connection: Any = context.connection
    return connection.connection.driver_connection


def _at(context: MigrationContext) -> At:
    # Not as Alembic asks, by operators that are looked up on the search path.
    return here(_driver(context), context.version_table, context.version_table_schema)


def _heads(context: MigrationContext, script: ScriptDirectory) -> tuple[str, ...]:
    heads = _at(context).revisions
    for head in heads:
        try:
            script.get_revision(head)
        except CommandError:
            raise WrongSchema(
                f"the database is at revision {head!r}, which {script.dir} does not have",
                hint="use the revisions that made it, or newer ones",
            ) from None
    return heads


def _side_by_side(revisions: Any) -> str | None:
    return ", ".join(sorted(revisions)) or None
