"""How the revisions reach a database: by `sexton upgrade`, and by plain `alembic`."""

from alembic import context

from sexton.alembic import run_migrations
from sexton.catalog.schema import VERSION_SCHEMA
from sexton.chat.tables import metadata

run_migrations(context, metadata, version_table_schema=VERSION_SCHEMA)
