"""The single statements behind the life cycle, with upstream's semantics and orderings.

Ten for model configs and eight for providers. They lock nothing and decide nothing: the
rules are in `models` and `providers`. Names are sorted by the database's collation.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from sexton.database import Connection, rows

Row = dict[str, Any]

# A config's columns, with what its provider makes of it.
MODEL = """
    select
        c.*,
        p.provider is not null as provider_exists,
        coalesce(p.enabled, false) as provider_enabled,
        not c.deleted and c.enabled and coalesce(p.enabled, false) as usable
    from chat_model_configs c
    left join chat_providers p on p.provider = c.provider
"""
ELECTION_ORDER = "order by c.provider, c.model, c.updated_at desc, c.id desc"

# A provider's columns but for its key.
PROVIDER = """
    select
        p.id, p.provider, p.display_name, p.enabled, p.base_url,
        p.api_key <> '' as has_api_key,
        p.central_api_key_enabled, p.allow_user_api_key,
        p.allow_central_api_key_fallback, p.created_by, p.created_at, p.updated_at
    from chat_providers p
"""


def _one(found: list[Row]) -> Row | None:
    return found[0] if found else None


# -- model configs ---------------------------------------------------------------------


def get_model(connection: Connection, id: uuid.UUID) -> Row | None:
    """A live config by id, or None."""
    return _one(rows(connection, f"{MODEL} where c.id = %s and not c.deleted", id))


def get_any_model(connection: Connection, id: uuid.UUID) -> Row | None:
    """A config by id, live or tombstone, or None: what history mentions resolves."""
    return _one(rows(connection, f"{MODEL} where c.id = %s", id))


def get_default_model(connection: Connection) -> Row | None:
    """The default: the live config with is_default, or None."""
    return _one(
        rows(connection, f"{MODEL} where c.is_default and not c.deleted {ELECTION_ORDER}")
    )


def list_models(connection: Connection) -> list[Row]:
    """All live configs in election order, the disabled and the orphaned too."""
    return rows(connection, f"{MODEL} where not c.deleted {ELECTION_ORDER}")


def list_enabled_models(connection: Connection) -> list[Row]:
    """The live, enabled configs whose provider exists and is enabled."""
    return rows(
        connection,
        f"{MODEL} where not c.deleted and c.enabled and p.enabled {ELECTION_ORDER}",
    )


def get_enabled_model(connection: Connection, id: uuid.UUID) -> Row | None:
    """A live, enabled config by id whose provider exists and is enabled, or None."""
    return _one(
        rows(
            connection,
            f"{MODEL} where c.id = %s and not c.deleted and c.enabled and p.enabled",
            id,
        )
    )


def insert_model(connection: Connection, values: Mapping[str, Any]) -> Row:
    """Insert a config and return its row; what `values` lacks takes its default."""
    return _insert(connection, "chat_model_configs", values)


def update_model(
    connection: Connection, id: uuid.UUID, values: Mapping[str, Any]
) -> Row | None:
    """Change columns of a live config, and return its row; None where there is none."""
    return _update(connection, "chat_model_configs", id, values, "and not deleted")


def unset_defaults(connection: Connection, but: uuid.UUID | None = None) -> list[Row]:
    """Take the flag from every live default (but one), and return their rows."""
    return rows(
        connection,
        """
        update chat_model_configs
        set is_default = false, updated_at = now()
        where is_default and not deleted and id is distinct from %s
        returning *
        """,
        but,
    )


def tombstone_model(
    connection: Connection, id: uuid.UUID, user: uuid.UUID | None = None
) -> Row | None:
    """Make a live config a tombstone, and return it; a tombstone is never written."""
    return _one(
        rows(
            connection,
            """
            update chat_model_configs
            set deleted = true, deleted_at = now(), updated_at = now(),
                updated_by = coalesce(%s, updated_by)
            where id = %s and not deleted
            returning *
            """,
            user,
            id,
        )
    )


def tombstone_models_of(
    connection: Connection, provider: str, user: uuid.UUID | None = None
) -> list[Row]:
    """Make a provider's live configs tombstones, and return them by id."""
    return rows(
        connection,
        """
        with dead as (
            update chat_model_configs
            set deleted = true, deleted_at = now(), updated_at = now(),
                updated_by = coalesce(%s, updated_by)
            where provider = %s and not deleted
            returning *
        )
        select * from dead order by id
        """,
        user,
        provider,
    )


# -- providers -------------------------------------------------------------------------


def get_provider(connection: Connection, id: uuid.UUID) -> Row | None:
    """A provider by id, or None."""
    return _one(rows(connection, f"{PROVIDER} where p.id = %s", id))


def get_provider_named(connection: Connection, name: str) -> Row | None:
    """A provider by its exact name, or None."""
    return _one(rows(connection, f"{PROVIDER} where p.provider = %s", name))


def list_providers(connection: Connection) -> list[Row]:
    """All providers by name."""
    return rows(connection, f"{PROVIDER} order by p.provider")


def list_enabled_providers(connection: Connection) -> list[Row]:
    """The enabled providers by name."""
    return rows(connection, f"{PROVIDER} where p.enabled order by p.provider")


def insert_provider(connection: Connection, values: Mapping[str, Any]) -> Row:
    """Insert a provider and return its whole row."""
    return _insert(connection, "chat_providers", values)


def update_provider(
    connection: Connection, id: uuid.UUID, values: Mapping[str, Any]
) -> Row | None:
    """Change columns of a provider, and return its whole row; None where it has gone."""
    return _update(connection, "chat_providers", id, values)


def delete_provider(connection: Connection, id: uuid.UUID) -> Row | None:
    """Delete a provider's row, its users' keys with it, and return it."""
    return _one(
        rows(connection, "delete from chat_providers where id = %s returning *", id)
    )


def delete_user_key(
    connection: Connection, user: uuid.UUID, provider: uuid.UUID
) -> Row | None:
    """Delete a user's key for a provider, and return its row."""
    return _one(
        rows(
            connection,
            """
            delete from user_chat_provider_keys
            where user_id = %s and chat_provider_id = %s returning *
            """,
            user,
            provider,
        )
    )


def _insert(connection: Connection, table: str, values: Mapping[str, Any]) -> Row:
    names = ", ".join(values)
    places = ", ".join(["%s"] * len(values))
    query: Any = f"insert into {table} ({names}) values ({places}) returning *"  # noqa: S608
    return rows(connection, query, *map(_adapt, values.values()))[0]


def _update(
    connection: Connection,
    table: str,
    id: uuid.UUID,
    values: Mapping[str, Any],
    condition: str = "",
) -> Row | None:
    assignments = "".join(f", {name} = %s" for name in values)
    query: Any = f"""
        update {table} set updated_at = now(){assignments}
        where id = %s {condition} returning *
    """  # noqa: S608 - names of ours
    return _one(rows(connection, query, *map(_adapt, values.values()), id))


def _adapt(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict) else value
