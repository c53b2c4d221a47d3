"""How much points at model configs: what a preview counts."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sexton.chat.schema import USER_KEYS
from sexton.chat.settings import overrides_query
from sexton.chat.transaction import Row, Transaction

IN_FLIGHT = ["pending", "running"]  # a turn of the chat is under way, or waits for one


@dataclass(frozen=True)
class References:
    """Counts of what names some configs; `in_flight_chats` are among the `chats`."""

    chats: int = 0
    in_flight_chats: int = 0
    messages: int = 0
    queued_messages: int = 0
    user_keys: int = 0
    overrides: int = 0

    def document(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


def count_references(
    tx: Transaction, models: Sequence[uuid.UUID], provider: Row | None = None
) -> References:
    """Count what names these configs, and the keys and settings of their provider.

    One statement, and one pass each over chats and messages: there is no index from a
    message to its config. Reads only. Tables the database does not have count nothing.
    """
    counts = {}
    if models and tx.has("chats", "last_model_config_id", "status"):
        chats = f"{tx.sql('chats')} where last_model_config_id = any (%(models)s)"
        counts["chats"] = chats
        counts["in_flight_chats"] = f"{chats} and status::pg_catalog.text = any (%(live)s)"
    for name in ("chat_messages", "chat_queued_messages"):
        if models and tx.has(name, "model_config_id"):
            table = f"{tx.sql(name)} where model_config_id = any (%(models)s)"
            counts[name.removeprefix("chat_")] = table
    if provider and tx.has(USER_KEYS, "chat_provider_id"):
        counts["user_keys"] = f"{tx.sql(USER_KEYS)} where chat_provider_id = %(provider)s"
    if overrides := overrides_query(tx):
        counts["overrides"] = f"({overrides}) found"
    selected = ", ".join(
        f"(select pg_catalog.count(*) from {source}) as {name}"  # noqa: S608 - of ours
        for name, source in counts.items()
    )
    found = tx.one(
        f"select {selected}",
        models=list(models),
        live=IN_FLIGHT,
        provider=provider and provider["id"],
        names=[str(id) for id in models],
        provider_name=provider and provider["provider"],
    )
    return References(**(found or {}))
