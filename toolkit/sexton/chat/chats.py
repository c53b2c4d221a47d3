"""Chats: which config the next turn uses."""

import uuid
from typing import Any

from sexton.chat import models
from sexton.chat.schema import require_tombstones
from sexton.database import Connection, rows
from sexton.errors import NotFound, Refused, UsageError


def chat_id(text: str) -> uuid.UUID:
    """Read a chat's id; raises UsageError."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a chat's id: not a UUID", status=400) from None


def resolve(connection: Connection, id: uuid.UUID) -> dict[str, Any]:
    """Which config the chat's next turn uses, and why: the rule of upstream's server.

    The chat's own config while it lives, else the default. Raises NotFound for an
    unknown chat, Refused (with upstream's message) where neither exists.
    """
    require_tombstones(connection)
    chats = rows(
        connection, "select last_model_config_id as model from chats where id = %s", id
    )
    if not chats:
        raise NotFound(hint=f"no chat has the id {id}")
    own = models.get_model(connection, chats[0]["model"])
    used = own if own and not own["deleted"] else models.get_default(connection)
    if used is None:
        raise Refused(
            "no default chat model config is available",
            hint="promote one: sexton model promote ID",
        )
    return {
        "chat": id,
        "model": {key: used[key] for key in ("id", "provider", "model")},
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
