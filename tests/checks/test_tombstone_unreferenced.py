from typing import Any

from tests.support.tools import (
    add_chat,
    add_message,
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
)

NAME = "tombstone_unreferenced"
DEAD: dict[str, Any] = {"deleted": True, "deleted_at": "2026-01-01"}


def test_a_chat_or_a_message_is_reason_enough(connection):
    add_provider(connection, "openai")
    chat = add_chat(connection, add_model(connection, "openai", "a", **DEAD))
    add_message(connection, chat, add_model(connection, "openai", "b", **DEAD))
    add_model(connection, "openai", "live and unused")
    assert_clean(connection, NAME)


def test_a_tombstone_that_nothing_mentions(connection):
    model = add_model(connection, "openai", **DEAD)
    assert_finds(connection, NAME, model, says="in no chat and no message")
