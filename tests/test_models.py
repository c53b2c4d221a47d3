"""Listing and promoting model configs, and which one a chat uses next."""

import uuid

import pytest

from tests.tools import add_chat, add_model, add_provider
from toolkit import models
from toolkit.chats import resolve
from toolkit.database import transact
from toolkit.errors import NotFound, Refused


@pytest.fixture
def promote(connection):
    return lambda id: transact(connection, lambda: models.promote(connection, id))


def test_promotion_moves_the_flag(connection, promote):
    add_provider(connection, "openai")
    before = add_model(connection, "openai", "a", is_default=True)
    after = add_model(connection, "openai", "b", updated_by=uuid.uuid4())
    assert promote(after)["is_default"]
    assert models.get_default(connection)["id"] == after
    assert not models.get_model(connection, before)["is_default"]


def test_promoting_the_default_changes_nothing(connection, promote):
    add_provider(connection, "openai")
    default = add_model(connection, "openai", is_default=True)
    before = models.get_model(connection, default)
    assert promote(default) == before


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"provider": "openai", "deleted": True, "deleted_at": "now"}, "is a tombstone"),
        ({"provider": "openai", "enabled": False}, "is disabled"),
        ({"provider": "vercel"}, "is an orphan"),
        ({"provider": "azure"}, "stands under a disabled provider"),
    ],
)
def test_what_cannot_serve_is_refused(connection, promote, columns, sentence):
    add_provider(connection, "openai")
    add_provider(connection, "azure", enabled=False)
    with pytest.raises(Refused, match=sentence):
        promote(add_model(connection, **columns))


def test_an_unknown_model_is_not_found(promote):
    with pytest.raises(NotFound):
        promote(uuid.uuid4())


def test_tombstones_are_listed_only_if_asked(connection):
    add_provider(connection, "openai")
    live = add_model(connection, "openai")
    gone = add_model(connection, "openai", deleted=True, deleted_at="now")
    assert [m["id"] for m in models.list_models(connection)] == [live]
    listed = models.list_models(connection, deleted=True)
    assert {m["id"] for m in listed} == {live, gone}


def test_a_chat_uses_its_own_model_while_it_lives(connection):
    add_provider(connection, "openai")
    own = add_model(connection, "openai", "own")
    add_model(connection, "openai", "default", is_default=True)
    resolved = resolve(connection, add_chat(connection, own))
    assert (resolved["model"]["id"], resolved["fallback"]) == (own, False)


def test_a_chat_on_a_tombstone_uses_the_default(connection):
    add_provider(connection, "openai")
    gone = add_model(connection, "openai", "gone", deleted=True, deleted_at="now")
    default = add_model(connection, "openai", "default", is_default=True)
    resolved = resolve(connection, add_chat(connection, gone))
    assert (resolved["model"]["id"], resolved["fallback"]) == (default, True)
    assert "gone, is a tombstone" in resolved["reason"]


def test_without_a_default_the_answer_is_upstreams(connection):
    gone = add_model(connection, "openai", deleted=True, deleted_at="now")
    with pytest.raises(Refused, match="no default chat model config is available"):
        resolve(connection, add_chat(connection, gone))


def test_a_model_that_will_fail_is_said_to(connection):
    add_provider(connection, "openai", enabled=False)
    orphan = add_chat(connection, add_model(connection, "google"))
    disabled = add_chat(connection, add_model(connection, "openai"))
    assert "the turn will fail" in resolve(connection, orphan)["reason"]
    assert "is disabled, or its provider is" in resolve(connection, disabled)["reason"]


def test_an_unknown_chat_is_not_found(connection):
    with pytest.raises(NotFound):
        resolve(connection, uuid.uuid4())
