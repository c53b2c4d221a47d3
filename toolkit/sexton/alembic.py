"""For anybody's env.py: the operations, and the runner.

`import sexton.alembic` registers `op.run_steps`, the guard's two operations, and those of
`sexton.online`.
`run_migrations` is the rest of an env.py: it owns the connection, the upgrade lock, one
transaction a step, waiting and resuming:

    from alembic import context
    import sexton.alembic

    sexton.alembic.run_migrations(context, target_metadata=metadata)
"""

import contextlib
import logging.config
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from sexton.catalog.relations import resolve
from sexton.catalog.schema import VERSION_SCHEMA
from sexton.catalog.schema import revision as recorded
from sexton.database import address_of
from sexton.ddl import revisions
from sexton.ddl.engine import engine
from sexton.ddl.options import Options
from sexton.ddl.own_schema import make_schema, require_own_schema
from sexton.ddl.session import Driver, own_session
from sexton.ddl.upgrade_lock import require_direct, upgrade_lock
from sexton.errors import SextonError, UsageError, WrongSchema
from sexton.guard import operations as guard_operations
from sexton.online import column_operations
from sexton.online import operations as online_operations
from sexton.online.run_steps import Record, RunSteps
from sexton.text.durations import parse

__all__ = [
    "Record",
    "RunSteps",
    "column_operations",
    "guard_operations",
    "include_name",
    "online_operations",
    "run_migrations",
]


def run_migrations(
    context: Any,
    target_metadata: Any = None,
    *,
    version_table: str = "alembic_version",
    version_table_schema: str | None = None,
    include_name: Any = None,
    **configured: Any,
) -> None:
    """Run the environment's revisions; the whole of an env.py.

    `context` is `alembic.context`. The connection is the one that the caller of Alembic
    gives as attribute `connection`, else one of its own to `sqlalchemy.url` of the ini
    file, DATABASE_URL or libpq's PG* variables. Further arguments are those of
    `context.configure`. Autogenerate does not see what is Sexton's own.
    """
    configured |= {"target_metadata": target_metadata, "version_table": version_table}
    configured |= {"version_table_schema": version_table_schema}
    configured["transaction_per_migration"] = True
    configured["include_name"] = _filter(include_name)
    if context.is_offline_mode():
        configured |= {"dialect_name": "postgresql", "literal_binds": True}
        context.configure(**configured)
        with context.begin_transaction():
            context.run_migrations()
        return
    given = context.config.attributes.get("connection")
    if isinstance(given, Engine):
        with given.connect() as connection:
            _run(context, connection, configured)
    elif given is not None:
        _run(context, given, configured)
    else:
        _connect_and_run(context, configured)


def _filter(theirs: Any) -> Any:
    def include(name: str | None, kind: str, parents: Any) -> bool:
        # A guard is opt-in and no part of head: autogenerate must not drop it.
        if (name or "").startswith("sexton_") or (kind == "schema" and name == "sexton"):
            return False
        return theirs is None or bool(theirs(name, kind, parents))

    return include


# For an env.py that does not call `run_migrations`: an argument of context.configure.
include_name = _filter(None)


def _connect_and_run(context: Any, configured: dict[str, Any]) -> None:
    config = context.config
    if config.config_file_name and config.file_config.has_section("loggers"):
        logging.config.fileConfig(config.config_file_name, disable_existing_loggers=False)
    try:
        with (
            address_of(config.get_main_option("sqlalchemy.url")) as address,
            engine(address, "sexton alembic").connect() as connection,
        ):
            _run(context, connection, configured)
    except SextonError as error:
        lines = [error.message, *getattr(error, "__notes__", ())]
        lines += [f"next: {error.hint}"] if error.hint else []
        raise CommandError("\n  ".join(lines)) from None


def _run(context: Any, connection: Connection, configured: dict[str, Any]) -> None:
    driver: Any = connection.connection.driver_connection
    schema = configured["version_table_schema"]
    script: ScriptDirectory = context.script
    with contextlib.ExitStack() as stack:
        if not _changes(context):
            # `current`, `check` and `revision` only look, yet Alembic makes its table.
            with _autocommit(driver), own_session(driver):
                _prepare(driver, schema, script)
            _configure_and_run(context, connection, configured, Options(), Record())
            return
        if schema and steps_only(script):
            stack.enter_context(_secured(driver))
        options = context.config.attributes.get("options") or _x_options(context)
        record = context.config.attributes.get("record") or Record()
        require_direct(driver)
        driver.rollback()
        stack.enter_context(upgrade_lock(driver, options, schema or "public"))
        with _autocommit(driver), own_session(driver):
            _prepare(driver, schema, script)
        _configure_and_run(context, connection, configured, options, record)


def steps_only(script: ScriptDirectory) -> bool:
    """Whether every revision consists of steps, so that none needs a search_path."""
    found = [revision.module for revision in script.walk_revisions()]
    return bool(found) and all(hasattr(module, "UPGRADE") for module in found)


@contextlib.contextmanager
def _secured(driver: Driver) -> Iterator[None]:
    session = own_session(driver)
    with _autocommit(driver):
        session.__enter__()
    try:
        yield
    finally:
        if not driver.closed:
            with _autocommit(driver):
                session.__exit__(None, None, None)


@contextlib.contextmanager
def _autocommit(driver: Driver) -> Iterator[None]:
    """Out of any transaction for the block; what was begun is rolled back."""
    driver.rollback()
    before, driver.autocommit = driver.autocommit, True
    try:
        yield
    finally:
        driver.autocommit = before


def _changes(context: Any) -> bool:
    # `current`, `check` and `revision` have no destination: they only look.
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _prepare(driver: Driver, schema: str | None, script: ScriptDirectory) -> None:
    """Look whose the version table's schema is, and make it where it is not there."""
    folder = Path(script.dir)
    known = revisions.load(folder) if steps_only(script) else ()
    there = resolve(driver, revisions.tables(known))
    owners = {table.owner for table in there.values()}
    if schema and not require_own_schema(driver, schema, owners):
        make_schema(driver, schema)
    if there and known and schema == VERSION_SCHEMA and recorded(driver) is None:
        raise WrongSchema(
            f"{sorted(there)[0]} exists, but no revision is recorded for it",
            hint="sexton adopt recognises such a database",
        )


def _configure_and_run(
    context: Any,
    connection: Connection,
    configured: dict[str, Any],
    options: Options,
    record: Record,
) -> None:
    def applied(*, step: Any, **_: Any) -> None:
        ids = step.up_revision_ids if step.is_upgrade else step.source_revision_ids
        record.add(ids)

    context.configure(
        connection=connection,
        sexton=(options, record),
        on_version_apply=applied,
        **configured,
    )
    with context.begin_transaction():
        context.run_migrations()


def _x_options(context: Any) -> Options:
    """Plain alembic's `-x max_stall=500ms` and its like."""
    named = context.get_x_argument(as_dictionary=True)
    times: dict[str, Any] = {}
    for name in ("max_stall", "deadline", "terminate_idle_older_than"):
        if name in named:
            try:
                times[name] = parse(named[name])
            except ValueError as error:
                raise UsageError(f"-x {name}: {error}") from None
    choices = {f"{name}={value}" for name, value in named.items() if name not in times}
    return Options(**times, choices=frozenset(choices), say=_say)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
