"""What the product's database has: its two tables, tombstones, the provider key."""

from typing import Any

from sexton.database import Connection, rows
from sexton.errors import Refused, WrongSchema
from sexton.schema import columns, has

MODELS = "chat_model_configs"
PROVIDERS = "chat_providers"

PROVIDER_KEYS = """
    select conname as name, convalidated as valid
    from pg_catalog.pg_constraint
    where contype = 'f'
      and conrelid = to_regclass('chat_model_configs')
      and confrelid = to_regclass('chat_providers')
      and conkey = array[(
          select attnum from pg_catalog.pg_attribute
          where attrelid = conrelid and attname = 'provider'
      )]
    order by conname
"""


def provider_keys(connection: Connection) -> list[dict[str, Any]]:
    """The plain foreign keys from model configs to providers: name and validity."""
    return rows(connection, PROVIDER_KEYS)


def require_models(connection: Connection) -> None:
    """Insist on the two tables that everything is about; raises WrongSchema."""
    for table in (PROVIDERS, MODELS):
        if not columns(connection, table):
            raise WrongSchema(
                f"this database has no table {table} on its search_path",
                hint="check the database name, or make the tables: sexton upgrade",
            )


def require_tombstones(connection: Connection) -> None:
    """Insist on the columns `deleted` and `deleted_at`; raises WrongSchema."""
    require_models(connection)
    if not has(connection, MODELS, "deleted", "deleted_at"):
        raise WrongSchema(
            f"{MODELS} has no tombstones yet: the columns deleted and deleted_at "
            "are missing",
            hint="sexton upgrade",
        )


def require_no_provider_key(connection: Connection) -> None:
    """Insist that deleting a provider cannot cascade into its tombstones."""
    for key in provider_keys(connection):
        raise Refused(
            f"the foreign key {key['name']} still stands: deleting the provider row "
            "would delete its model configs for good, or fail",
            hint="sexton upgrade",
        )
