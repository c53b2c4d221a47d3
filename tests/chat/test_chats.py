"""Which config a chat's next turn uses."""

import pytest

from sexton.chat import chats, models
from sexton.chat.deletion import DeleteProvider, RestoreProvider
from sexton.errors import Refused
from tests.support.tools import add_chat, add_model, add_provider, do


def test_a_chat_on_a_tombstone_goes_on_with_the_default(connection, graves):
    do(connection, models.promote, graves["usable"])
    chat = add_chat(connection, graves["tombstone"])
    found = chats.resolve(connection, chat)
    assert (found["model"]["id"], found["fallback"]) == (graves["usable"], True)
    assert "tombstone" in found["reason"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("usable", "is live"),
        ("disabled", "it is disabled"),
        ("under a disabled provider", "its provider is disabled"),
        ("orphan", "its provider has no row"),
    ],
)
def test_a_chat_keeps_its_live_model_and_hears_of_its_state(
    connection, graves, kind, reason
):
    found = chats.resolve(connection, add_chat(connection, graves[kind]))
    assert (found["model"]["id"], found["fallback"]) == (graves[kind], False)
    assert reason in found["reason"]


def test_without_a_default_a_chat_on_a_tombstone_has_no_model(connection, graves):
    chat = add_chat(connection, graves["tombstone"])
    with pytest.raises(Refused) as error:
        chats.resolve(connection, chat)
    assert error.value.upstream == "no default chat model config is available"


def test_a_provider_deleted_and_restored_leaves_chats_where_they_were(connection):
    add_provider(connection, "openai")
    used = add_model(connection, "openai", is_default=True)
    chat = add_chat(connection, used)
    do(connection, DeleteProvider, "openai")
    add_provider(connection, "openai")
    do(connection, RestoreProvider, "openai")
    assert chats.resolve(connection, chat)["model"]["id"] == used
