"""How much points at model configs: what a preview counts."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sexton.chat.settings import count_overrides
from sexton.database import Connection, rows, scalar
from sexton.schema import has

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
    connection: Connection,
    models: Sequence[uuid.UUID],
    provider: dict[str, Any] | None = None,
) -> References:
    """Count what names these configs, and the keys and settings of their provider.

    One pass each over chats and messages: there is no index from a message to its
    config. Reads only. Tables the database does not have count nothing.
    """
    ids = list(models)
    chats, in_flight = _chats(connection, ids)
    return References(
        chats=chats,
        in_flight_chats=in_flight,
        messages=_count(connection, "chat_messages", "model_config_id", ids),
        queued_messages=_count(connection, "chat_queued_messages", "model_config_id", ids),
        user_keys=_count(
            connection,
            "user_chat_provider_keys",
            "chat_provider_id",
            [provider["id"]] if provider else [],
        ),
        overrides=count_overrides(
            connection, ids, provider["provider"] if provider else None
        ),
    )


def _chats(connection: Connection, ids: list[uuid.UUID]) -> tuple[int, int]:
    if not ids or not has(connection, "chats", "last_model_config_id", "status"):
        return 0, 0
    [found] = rows(
        connection,
        """
        select count(*) as n,
               count(*) filter (where status::text = any (%s)) as in_flight
        from chats where last_model_config_id = any (%s)
        """,
        IN_FLIGHT,
        ids,
    )
    return found["n"], found["in_flight"]


def _count(connection: Connection, table: str, column: str, ids: list[uuid.UUID]) -> int:
    if not ids or not has(connection, table, column):
        return 0
    query: Any = f"select count(*) from {table} where {column} = any (%s)"  # noqa: S608
    return int(scalar(connection, query, ids))
