"""How revisions reach a database: one connection, one transaction a revision.

`sexton upgrade` hands over its connection; plain `alembic` makes one from DATABASE_URL or
libpq's own variables.
"""

import logging.config

from alembic import context
from sqlalchemy import Connection, Engine

from migrations import steps
from migrations.pooler import refuse_pooler
from toolkit.database import address_of
from toolkit.engine import engine
from toolkit.schema import VERSION_SCHEMA, VERSION_TABLE
from toolkit.tables import metadata

steps.register()


def configure(**options: object) -> None:
    """Configure alembic alike for every way of running."""
    context.configure(
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        version_table_schema=VERSION_SCHEMA,
        transaction_per_migration=True,
        **options,  # type: ignore[arg-type]
    )


def migrate(connection: Connection) -> None:
    """Run the revisions on a connection that is in no transaction."""
    refuse_pooler(connection.connection.driver_connection)
    connection.rollback()
    steps.make_schema(connection, VERSION_SCHEMA)
    configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


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
        return
    if given is not None:
        migrate(given)
        return
    if context.config.config_file_name:
        logging.config.fileConfig(
            context.config.config_file_name, disable_existing_loggers=False
        )
    with (
        address_of(None) as address,
        engine(address, "alembic").connect() as connection,
    ):
        migrate(connection)


run()
