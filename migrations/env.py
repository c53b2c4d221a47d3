"""How revisions reach a database: one connection, one transaction a step, one at a time.

`sexton upgrade` hands over its connection and options; plain `alembic` makes a connection
from DATABASE_URL or libpq's own variables, and takes options as `-x max_stall=0.5`.
"""

import logging.config
import sys
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from sexton.chat.tables import metadata
from sexton.database import address_of
from sexton.ddl import steps
from sexton.ddl.upgrade_lock import require_direct, turn
from sexton.ddl.waiting import Options
from sexton.engine import engine
from sexton.errors import SextonError, UsageError
from sexton.schema import VERSION_SCHEMA, VERSION_TABLE

steps.register()


def _not_the_guards(name: str | None, *_: Any) -> bool:
    # Opt-in, and no part of head: autogenerate must not drop it.
    return not (name or "").startswith("sexton_")


def configure(**options: Any) -> None:
    """Configure alembic alike for every way of running."""
    context.configure(
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        version_table_schema=VERSION_SCHEMA,
        transaction_per_migration=True,
        include_name=_not_the_guards,
        **options,
    )


def options() -> Options:
    """The caller's options, or plain alembic's `-x name=value`."""
    given: Options | None = context.config.attributes.get("options")
    if given is not None:
        return given
    named = context.get_x_argument(as_dictionary=True)
    numbers = ("max_stall", "deadline", "terminate_idle_older_than")
    try:
        times: dict[str, Any] = {
            name: float(named[name]) for name in numbers if name in named
        }
    except ValueError as error:
        raise UsageError(f"-x takes seconds: {error}") from None
    choices = frozenset(
        {f"tombstones={named['tombstones']}"} if "tombstones" in named else ()
    )
    return Options(**times, choices=choices, say=_say)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def migrate(connection: Connection) -> None:
    """Run the revisions on a connection that is in no transaction."""
    if not _changes():
        _make_schema(connection)  # alembic makes its table even to look into it
        _run(connection, Options())
        return
    driver: Any = connection.connection.driver_connection
    settled = options()
    require_direct(driver)
    driver.rollback()
    with turn(driver, settled):
        _make_schema(connection)
        _run(connection, settled)


def _changes() -> bool:
    # `current`, `check` and `revision` have no destination: they only look.
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _run(connection: Connection, settled: Options) -> None:
    made = context.config.attributes.get("made", [])

    def applied(*, step: Any, **_: Any) -> None:
        ids = step.up_revision_ids if step.is_upgrade else step.source_revision_ids
        made.extend(ids)

    configure(connection=connection, sexton=settled, on_version_apply=applied)
    with context.begin_transaction():
        context.run_migrations()


def _make_schema(connection: Connection) -> None:
    with connection.begin():
        absent = text("select to_regnamespace(:name) is null")
        if connection.execute(absent, {"name": VERSION_SCHEMA}).scalar():
            connection.execute(text(f'create schema "{VERSION_SCHEMA}"'))


def _plain_alembic() -> None:
    if context.config.config_file_name:
        logging.config.fileConfig(
            context.config.config_file_name, disable_existing_loggers=False
        )
    try:
        with (
            address_of(None) as address,
            engine(address, "alembic").connect() as connection,
        ):
            migrate(connection)
    except SextonError as error:
        lines = [error.message, *getattr(error, "__notes__", ())]
        lines += [f"next: {error.hint}"] if error.hint else []
        raise CommandError("\n  ".join(lines)) from None


def run() -> None:
    """Choose the connection: none at all, the caller's, or one of our own."""
    if context.is_offline_mode():
        configure(dialect_name="postgresql", literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    given = context.config.attributes.get("connection")
    if isinstance(given, Engine):
        with given.connect() as connection:
            migrate(connection)
    elif given is not None:
        migrate(given)
    else:
        _plain_alembic()


run()
