"""The queries of the life cycle, with upstream's semantics and orderings.

Ten for model configs and eight for providers. They lock nothing that they do not write
and decide nothing: the rules are in `models`, `providers` and `deletion`. Names are sorted
by the database's collation. Who writes gives the reason, for the journal, and gets the ids
of the rows that are as they were meant to be.
"""

# ruff: noqa: S608 - names of ours, and of tables that the catalogs know

import json
import uuid
from collections.abc import Mapping
from typing import Any

from sexton.chat.schema import MODELS, PROVIDERS, USER_KEYS
from sexton.chat.transaction import Row, Transaction
from sexton.journal.recorder import Change, Statement

ELECTION_ORDER = "order by c.provider, c.model, c.updated_at desc, c.id desc"
NOW = "pg_catalog.now()"


def model_query(tx: Transaction) -> str:
    """A query, without WHERE, for configs `c` and what their provider `p` makes of them."""
    # The provider first: that is the order in which a change of the schema locks them.
    return f"""
        select
            c.*,
            p.id as provider_id,
            p.provider is not null as provider_exists,
            coalesce(p.enabled, false) as provider_enabled,
            not c.deleted and c.enabled and coalesce(p.enabled, false) as usable
        from {tx.sql(PROVIDERS)} p
        right join {tx.sql(MODELS)} c on p.provider = c.provider
    """


def provider_query(tx: Transaction) -> str:
    """A query, without WHERE, for providers `p` but for their keys."""
    return f"""
        select
            p.id, p.provider, p.display_name, p.enabled, p.base_url,
            p.api_key <> ''::pg_catalog.text as has_api_key,
            p.central_api_key_enabled, p.allow_user_api_key,
            p.allow_central_api_key_fallback, p.created_by, p.created_at, p.updated_at
        from {tx.sql(PROVIDERS)} p
    """


# -- model configs ---------------------------------------------------------------------


def get_model(tx: Transaction, id: uuid.UUID) -> Row | None:
    """A live config by id, or None."""
    return tx.one(f"{model_query(tx)} where c.id = %(id)s and not c.deleted", id=id)


def get_any_model(tx: Transaction, id: uuid.UUID) -> Row | None:
    """A config by id, live or tombstone, or None: what history mentions resolves."""
    return tx.one(f"{model_query(tx)} where c.id = %(id)s", id=id)


def get_default_model(tx: Transaction) -> Row | None:
    """The default: the live config with is_default, or None."""
    return tx.one(
        f"{model_query(tx)} where c.is_default and not c.deleted {ELECTION_ORDER}"
    )


def list_models(tx: Transaction, *, deleted: bool = False) -> list[Row]:
    """All live configs in election order, the disabled and the orphaned too.

    With `deleted`, the tombstones among them.
    """
    condition = "" if deleted else "where not c.deleted"
    return tx.rows(f"{model_query(tx)} {condition} {ELECTION_ORDER}")


def list_enabled_models(tx: Transaction) -> list[Row]:
    """The live, enabled configs whose provider exists and is enabled."""
    return tx.rows(
        f"{model_query(tx)} where not c.deleted and c.enabled and p.enabled "
        f"{ELECTION_ORDER}"
    )


def get_enabled_model(tx: Transaction, id: uuid.UUID) -> Row | None:
    """A live, enabled config by id whose provider exists and is enabled, or None."""
    return tx.one(
        f"{model_query(tx)} where c.id = %(id)s and not c.deleted and c.enabled "
        "and p.enabled",
        id=id,
    )


def insert_model(tx: Transaction, values: Row, why: str) -> Any:
    """Insert a config and return its id; what `values` lacks takes its default."""
    return tx.insert(MODELS, _adapted(values), why)


def update_model(tx: Transaction, id: uuid.UUID, values: Row, why: str) -> list[uuid.UUID]:
    """Change columns of a live config."""
    return tx.update(
        MODELS, _set(values), "this.id = %(id)s and not this.deleted", why,
        {**_adapted(values), "id": id},
    )  # fmt: skip


def promote_model(
    tx: Transaction, id: uuid.UUID, user: uuid.UUID | None, why: str
) -> list[uuid.UUID]:
    """Give the flag of the default to a live config; `user` goes into updated_by."""
    return tx.write((promoting(tx, id, user, why), 0))[0]


def promoting(
    tx: Transaction, id: uuid.UUID | None, user: uuid.UUID | None, why: str
) -> Change:
    """What gives the flag of the default to a live config; to none without an id."""
    return tx.updating(
        MODELS,
        {
            "is_default": "true",
            "updated_at": NOW,
            "updated_by": "%(promoter)s::pg_catalog.uuid",
        },
        "this.id = %(promoted)s::pg_catalog.uuid and not this.deleted",
        why,
        {"promoted": id, "promoter": user},
        done="this.is_default and not this.deleted",
    )


def unset_defaults(
    tx: Transaction, why: str, but: uuid.UUID | None = None
) -> list[uuid.UUID]:
    """Take the flag from every live default (but one)."""
    change = tx.updating(
        MODELS,
        {"is_default": "false", "updated_at": NOW},
        "this.is_default and not this.deleted "
        "and this.id is distinct from %(but)s::pg_catalog.uuid",
        why,
        {"but": but},
        done="not this.is_default",
    )
    return tx.write((change, 0))[0]


def tombstone_model(tx: Transaction, id: uuid.UUID, why: str) -> list[uuid.UUID]:
    """Make a live config a tombstone; a tombstone is never written."""
    return tx.write((_tombstoning(tx, "this.id = %(id)s", {"id": id}, why), 0))[0]


def _tombstoning(tx: Transaction, which: str, parameters: Row, why: str) -> Change:
    return tx.updating(
        MODELS,
        {
            "deleted": "true",
            "deleted_at": NOW,
            "updated_at": NOW,
            "updated_by": "coalesce(%(user)s::pg_catalog.uuid, this.updated_by)",
        },
        f"{which} and not this.deleted",
        why,
        {**parameters, "user": tx.user},
        done="this.deleted and this.deleted_at is not null",
    )


def revive_models(
    tx: Transaction, ids: list[uuid.UUID], user: uuid.UUID | None, why: str
) -> list[uuid.UUID]:
    """Bring tombstones back to life, without the flag of the default."""
    change = tx.updating(
        MODELS,
        {
            **{"deleted": "false", "deleted_at": "null", "is_default": "false"},
            **{"updated_at": NOW, "updated_by": "%(user)s"},
        },
        "this.id = any (%(ids)s) and this.deleted",
        why,
        {"ids": ids, "user": user},
        done="not this.deleted",
    )
    return tx.write((change, 0))[0]


# -- providers -------------------------------------------------------------------------


def get_provider(tx: Transaction, id: uuid.UUID) -> Row | None:
    """A provider by id, or None."""
    return tx.one(f"{provider_query(tx)} where p.id = %(id)s", id=id)


def get_provider_named(tx: Transaction, name: str) -> Row | None:
    """A provider by its exact name, or None."""
    return tx.one(f"{provider_query(tx)} where p.provider = %(name)s", name=name)


def list_providers(tx: Transaction) -> list[Row]:
    """All providers by name."""
    return tx.rows(f"{provider_query(tx)} order by p.provider")


def list_enabled_providers(tx: Transaction) -> list[Row]:
    """The enabled providers by name."""
    return tx.rows(f"{provider_query(tx)} where p.enabled order by p.provider")


def insert_provider(tx: Transaction, values: Row, why: str) -> Any:
    """Insert a provider and return its id."""
    return tx.insert(PROVIDERS, values, why)


def update_provider(
    tx: Transaction, id: uuid.UUID, values: Row, why: str
) -> list[uuid.UUID]:
    """Change columns of a provider."""
    return tx.update(PROVIDERS, _set(values), "this.id = %(id)s", why, {**values, "id": id})


def deletion(tx: Transaction) -> Statement:
    """What makes a provider's configs tombstones, promotes one, and deletes the provider.

    Its values: `provider`, `promoted` or None, and the provider's `id`.
    """
    return tx.compose(
        _tombstoning(tx, "this.provider = %(provider)s", {}, ""),
        promoting(tx, None, tx.user, ""),
        tx.deleting(PROVIDERS, "this.id = %(id)s", "", {}),
    )


def delete_user_key(
    tx: Transaction, user: uuid.UUID, provider: uuid.UUID, why: str
) -> list[uuid.UUID]:
    """Delete a user's key for a provider."""
    return tx.delete(
        USER_KEYS,
        "this.user_id = %(user)s and this.chat_provider_id = %(provider)s",
        why,
        {"user": user, "provider": provider},
    )


def _set(values: Row) -> dict[str, str]:
    return {"updated_at": NOW} | {name: f"%({name})s" for name in values}


def _adapted(values: Mapping[str, Any]) -> Row:
    return {
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in values.items()
    }
