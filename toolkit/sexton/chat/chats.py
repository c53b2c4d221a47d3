"""Chats: which config the next turn uses."""

import uuid
from typing import Any

from sexton.chat import queries
from sexton.chat.election import summary
from sexton.chat.errors import Missing
from sexton.chat.transaction import reading
from sexton.database import Connection
from sexton.errors import Refused, UsageError, WrongSchema


def chat_id(text: str) -> uuid.UUID:
    """Read a chat's id; raises UsageError."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a chat's id: not a UUID",
            status=400,
            hint="the id stands in the chat's address",
        ) from None


def resolve(connection: Connection, id: uuid.UUID) -> dict[str, Any]:
    """Which config the chat's next turn uses, and why: the rule of upstream's server.

    The chat's own config while it lives, else the default. Raises Missing for an
    unknown chat, Refused where neither exists.
    """
    with reading(connection) as tx:
        tx.product.require_tombstones()
        if not tx.has("chats", "last_model_config_id"):
            raise WrongSchema(
                "this database has no chats", hint="check the database's name"
            )
        chat = tx.one(
            f"select last_model_config_id as model from {tx.sql('chats')} "  # noqa: S608
            "where id = %(id)s",
            id=id,
        )
        if chat is None:
            raise Missing(f"no chat has the id {id}", hint="is it this database?")
        own = queries.get_any_model(tx, chat["model"])
        lives = own is not None and not own["deleted"]
        used = own if lives else queries.get_default_model(tx)
    if used is None:
        raise Refused(
            "the chat's own model is gone, and no model is the default",
            upstream="no default chat model config is available",
            hint="promote one: sexton model promote ID",
        )
    return {
        "chat": id,
        "model": summary(used),
        "fallback": used is not own,
        "reason": _reason(own, used),
    }


def _reason(own: dict[str, Any] | None, used: dict[str, Any]) -> str:
    if used is own:
        reason = "the chat's own model is live"
    elif own:
        reason = f"the chat's own model, {own['model']}, is a tombstone: the default"
    else:
        reason = "the chat's own model does not exist: the default"
    if not used["provider_exists"]:
        return f"{reason}; its provider has no row, so the turn will fail"
    if not used["enabled"]:
        return f"{reason}; it is disabled"
    if not used["provider_enabled"]:
        return f"{reason}; its provider is disabled"
    return reason
