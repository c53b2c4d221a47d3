"""Adding, changing, switching, deleting and restoring providers."""

import uuid
from typing import Any

import pytest

from sexton.chat import providers
from sexton.chat.deletion import DeleteProvider
from sexton.chat.operation import preview
from sexton.chat.providers import SwitchProvider
from sexton.database import rows, scalar
from sexton.errors import Refused
from tests.support.tools import add_model, add_provider, do, model, table

USER = uuid.UUID(int=7)


def plan(connection, name, **kwargs) -> Any:
    return preview(connection, DeleteProvider(name, **kwargs))


# -- adding and changing


def test_an_added_provider_has_its_key_and_shows_it_to_nobody(connection):
    made = do(connection, providers.add_provider, "openai", api_key="sk-made-up")
    assert made["has_api_key"] is True
    assert "sk-made-up" not in str(made)
    assert scalar(connection, "select api_key from chat_providers") == "sk-made-up"


@pytest.mark.parametrize(
    ("name", "options", "status", "message"),
    [
        ("Open AI", {"api_key": "k"}, 400, "Invalid provider."),
        ("", {"api_key": "k"}, 400, "Invalid provider."),
        (
            "openai",
            {"central_api_key_enabled": False},
            400,
            "Invalid credential policy.",
        ),
        (
            "openai",
            {"api_key": "k", "allow_central_api_key_fallback": True},
            400,
            "Invalid credential policy.",
        ),
        (
            "openai",
            {},
            400,
            "API key is required when central API key is enabled.",
        ),
        ("openai", {"api_key": "k" * 10241}, 400, "API key too large."),
        ("vercel", {"api_key": "k"}, 409, "Chat provider already exists."),
    ],
)
def test_adding_is_refused_in_upstreams_words(connection, name, options, status, message):
    add_provider(connection, "vercel")
    with pytest.raises(Refused) as refusal:
        do(connection, providers.add_provider, name, **options)
    assert (refusal.value.status, refusal.value.upstream) == (status, message)
    assert len(table(connection, "chat_providers")) == 1


def test_a_plain_key_does_not_get_among_encrypted_ones(connection):
    connection.execute("create table dbcrypt_keys (number int, active_key_digest text)")
    connection.execute("insert into dbcrypt_keys values (1, 'digest')")
    with pytest.raises(Refused, match="encrypted"):
        do(connection, providers.add_provider, "openai", api_key="k")


def test_an_added_provider_gives_its_orphans_a_default(connection):
    orphan = add_model(connection, "openai")
    do(connection, providers.add_provider, "openai", api_key="k")
    assert model(connection, orphan)["is_default"]


def test_an_update_changes_what_was_asked_and_nothing_else(connection):
    add_provider(connection, "openai", api_key="old", base_url="http://x", enabled=False)
    [before] = table(connection, "chat_providers")
    do(connection, providers.update_provider, "openai", {"api_key": "new"})
    [after] = table(connection, "chat_providers")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"api_key", "updated_at"}


def test_a_new_key_is_not_taken_for_an_encrypted_one(connection):
    add_provider(connection, "openai", api_key="old", api_key_key_id="digest")
    do(connection, providers.update_provider, "openai", {"api_key": "new"})
    assert scalar(connection, "select api_key_key_id from chat_providers") is None


def test_a_key_cannot_be_taken_from_a_policy_that_needs_it(connection):
    add_provider(connection, "openai", api_key="old")
    with pytest.raises(Refused, match="there is none"):
        do(connection, providers.update_provider, "openai", {"api_key": ""})


def test_a_stub_without_a_key_can_get_a_name(connection):
    add_provider(connection, "openai")
    made = do(connection, providers.update_provider, "openai", {"display_name": "X"})
    assert made["display_name"] == "X"


def test_credentials_in_a_base_url_stay_there(connection):
    add_provider(connection, "openai", base_url="https://me:hidden@host/v1")
    do(connection, providers.update_provider, "openai", {"display_name": "X"})
    shown = str(providers.list_providers(connection))
    journal = str(rows(connection, "select * from sexton.changes"))
    assert "hidden" not in shown + journal
    assert "host/v1" in shown


def test_no_key_enters_the_journal(connection):
    do(connection, providers.add_provider, "openai", api_key="sk-made-up")
    do(connection, providers.update_provider, "openai", {"api_key": "sk-made-up-2"})
    assert "sk-made-up" not in str(rows(connection, "select * from sexton.changes"))


# -- switching


def test_disabling_moves_the_default_to_the_heir(connection):
    add_provider(connection, "anthropic")
    add_provider(connection, "openai")
    old = add_model(connection, "openai", is_default=True)
    new = add_model(connection, "anthropic")
    switch = do(connection, SwitchProvider, "openai", enabled=False)
    assert switch.heir["id"] == new
    assert not model(connection, old)["is_default"]
    assert not model(connection, old)["deleted"]


def test_disabling_the_only_provider_leaves_the_default_where_it_is(connection):
    add_provider(connection, "openai")
    old = add_model(connection, "openai", is_default=True)
    switch = do(connection, SwitchProvider, "openai", enabled=False)
    assert switch.heir is None
    assert model(connection, old)["is_default"]


def test_enabling_elects_a_default_where_there_is_none(connection):
    add_provider(connection, "openai", enabled=False)
    found = add_model(connection, "openai")
    switch = do(connection, SwitchProvider, "openai", enabled=True)
    assert switch.heir["id"] == found
    assert model(connection, found)["is_default"]
