"""Drift: where the catalogs contradict the revision that the database says it has.

Read from the catalogs by definition, for `alembic check` sees neither predicates nor
validity.
"""

from dataclasses import dataclass
from typing import LiteralString

from toolkit.database import Connection, scalar
from toolkit.errors import SchemaDrift
from toolkit.schema import provider_keys, revision


@dataclass(frozen=True)
class Promise:
    """Something that holds from revision `since` to before `until`."""

    since: str
    until: str
    broken: str
    holds: LiteralString


def _column(table: str, column: str, type: str, not_null: bool, default: str) -> str:
    return f"""
        select exists (
            select
            from pg_catalog.pg_attribute a
            left join pg_catalog.pg_attrdef d
              on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attrelid = to_regclass('{table}')
              and a.attname = '{column}'
              and not a.attisdropped
              and a.atttypid = '{type}'::regtype
              and a.attnotnull = {not_null}
              and coalesce(pg_get_expr(d.adbin, d.adrelid), '') = '{default}'
        )
    """  # noqa: S608 - literals of this file


def _index(predicate: str) -> str:
    return f"""
        select exists (
            select
            from pg_catalog.pg_index i
            where i.indrelid = to_regclass('chat_model_configs')
              and i.indisunique and i.indisvalid and i.indnkeyatts = 1
              and pg_get_expr(i.indexprs, i.indrelid) = '1'
              and pg_get_expr(i.indpred, i.indrelid) = '{predicate}'
        )
    """  # noqa: S608 - literals of this file


def _constraint(table: str, definition: str) -> str:
    return f"""
        select exists (
            select
            from pg_catalog.pg_constraint
            where conrelid = to_regclass('{table}')
              and convalidated
              and pg_get_constraintdef(oid) = '{definition}'
        )
    """  # noqa: S608 - literals of this file


def _key(table: str, column: str, target: str, action: str = "") -> str:
    return _constraint(table, f"FOREIGN KEY ({column}) REFERENCES {target}{action}")


END = "~"  # sorts after every revision

PROMISES = (
    Promise(
        *(
            "0002",
            END,
            "chat_model_configs.deleted is not boolean not null default false",
        ),
        _column("chat_model_configs", "deleted", "boolean", True, "false"),
    ),
    Promise(
        *("0002", END, "chat_model_configs.deleted_at is not a nullable timestamptz"),
        _column("chat_model_configs", "deleted_at", "timestamptz", False, ""),
    ),
    Promise(
        *("0001", "0003", "no valid unique index allows just one default"),
        _index("(is_default = true)"),
    ),
    Promise(
        *("0003", END, "no valid unique index allows just one live default"),
        _index("((is_default = true) AND (deleted = false))"),
    ),
    Promise(
        *("0001", "0004", "no valid foreign key, ON DELETE CASCADE, on provider"),
        _key(
            *("chat_model_configs", "provider", "chat_providers(provider)"),
            " ON DELETE CASCADE",
        ),
    ),
    Promise(
        *("0001", END, "chat_providers.provider is not unique"),
        _constraint("chat_providers", "UNIQUE (provider)"),
    ),
    Promise(
        *("0001", END, "no valid foreign key on chats.last_model_config_id"),
        _key("chats", "last_model_config_id", "chat_model_configs(id)"),
    ),
    Promise(
        *("0001", END, "no valid foreign key on chat_messages.model_config_id"),
        _key("chat_messages", "model_config_id", "chat_model_configs(id)"),
    ),
    Promise(
        *("0001", END, "no valid foreign key on user_chat_provider_keys"),
        _key(
            *("user_chat_provider_keys", "chat_provider_id", "chat_providers(id)"),
            " ON DELETE CASCADE",
        ),
    ),
)


def drift(connection: Connection) -> list[str]:
    """One sentence for each contradiction; empty where the database keeps its word.

    A database without a revision promises nothing, so it has no drift.
    """
    at = revision(connection)
    if at is None:
        return []
    broken = [
        promise.broken
        for promise in PROMISES
        if promise.since <= at < promise.until and not scalar(connection, promise.holds)
    ]
    if at >= "0004":
        broken += [
            f"the foreign key {key['name']} still stands, or is back"
            for key in provider_keys(connection)
        ]
    return broken


def verify(connection: Connection) -> None:
    """Insist that there is no drift; raises SchemaDrift."""
    if found := drift(connection):
        raise SchemaDrift(
            "the schema contradicts its revision:\n  " + "\n  ".join(found),
            hint="sexton explain schema_drift",
        )
