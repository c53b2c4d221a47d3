"""The product's part of `status`: how its rows stand."""

from typing import Any

from sexton.chat.queries import ELECTION_ORDER
from sexton.chat.schema import MODELS, PROVIDERS
from sexton.chat.transaction import Transaction, reading
from sexton.database import Connection


def status(connection: Connection) -> dict[str, Any]:
    """Counts, and the default with whether it is usable. Reads only.

    Raises WrongSchema where the tables are not there.
    """
    with reading(connection) as tx:
        deleted = "c.deleted" if tx.has(MODELS, "deleted", "deleted_at") else "false"
        models = f"(select pg_catalog.count(*) from {tx.sql(MODELS)} c where "  # noqa: S608
        counts = tx.one(
            f"""
            select
                (select pg_catalog.count(*) from {tx.sql(PROVIDERS)}) as providers,
                {models} not {deleted}) as live,
                {models} {deleted}) as tombstones,
                {_chats(tx, deleted)} as chats_on_tombstones
            """  # noqa: S608 - of ours
        )
        default = tx.one(
            f"""
            select c.id, c.provider, c.model,
                c.enabled and coalesce(p.enabled, false) as usable
            from {tx.sql(PROVIDERS)} p
            right join {tx.sql(MODELS)} c on p.provider = c.provider
            where c.is_default and not {deleted} {ELECTION_ORDER}
            """  # noqa: S608 - of ours
        )
    return {**(counts or {}), "default": default}


def _chats(tx: Transaction, deleted: str) -> str:
    if deleted == "false" or not tx.has("chats", "last_model_config_id"):
        return "0"
    return f"""(
        select pg_catalog.count(*)
        from {tx.sql(MODELS)} c
        join {tx.sql("chats")} h on h.last_model_config_id = c.id
        where {deleted}
    )"""  # noqa: S608 - of ours
