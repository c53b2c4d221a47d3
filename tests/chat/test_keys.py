"""Users' own keys: stored, replaced, removed, refused."""

import uuid

import pytest

from sexton.chat import keys
from sexton.chat.errors import ProviderDisabled
from sexton.errors import Refused
from tests.support.tools import add_provider, do, table

USER = uuid.UUID(int=7)


def test_a_users_key_is_stored_replaced_and_removed(connection):
    add_provider(connection, "openai", allow_user_api_key=True)
    for key in ("sk-one", "sk-two"):
        shown = do(connection, keys.set_user_key, "openai", USER, key)
        assert key not in str(shown)
    [stored] = table(connection, "user_chat_provider_keys")
    assert stored["api_key"] == "sk-two"
    do(connection, keys.remove_user_key, "openai", USER)
    assert table(connection, "user_chat_provider_keys") == []


@pytest.mark.parametrize(
    ("columns", "key", "kind", "message"),
    [
        ({"enabled": False}, "k", ProviderDisabled, "Provider is disabled."),
        ({}, "k", Refused, "Provider does not allow user API keys."),
        ({"allow_user_api_key": True}, "", Refused, "API key is required."),
    ],
)
def test_a_users_key_is_refused_in_upstreams_words(connection, columns, key, kind, message):
    add_provider(connection, "openai", **columns)
    with pytest.raises(kind) as error:
        do(connection, keys.set_user_key, "openai", USER, key)
    assert (error.value.status, error.value.upstream) == (400, message)
