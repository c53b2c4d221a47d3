import pytest

from sexton.database import scalar
from tests.support.tools import add_provider, add_user, assert_clean, assert_finds, look

NAME = "user_key_unusable"


@pytest.fixture
def provider(upstream):
    return add_provider(upstream, "openai", allow_user_api_key=True)


def add_key(connection, provider, user):
    return scalar(
        connection,
        "insert into user_chat_provider_keys (user_id, chat_provider_id, api_key) "
        "values (%s, %s, 'sk-secret') returning id",
        *(user, provider),
    )


def test_a_key_that_serves_is_fine(upstream, provider):
    add_key(upstream, provider, add_user(upstream))
    assert_clean(upstream, NAME)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("update chat_providers set enabled = false", "the provider is disabled"),
        ("update chat_providers set allow_user_api_key = false", "allows no such keys"),
        ("update users set deleted = true", "the user is deleted"),
    ],
)
def test_a_key_that_serves_nobody(upstream, provider, change, says):
    key = add_key(upstream, provider, add_user(upstream))
    upstream.execute(change)
    assert_finds(upstream, NAME, key, says=says)


def test_where_there_are_no_users_the_rest_is_looked_at(connection):
    import uuid

    provider = add_provider(connection, "openai", enabled=False)
    add_key(connection, provider, uuid.uuid4())
    outcome = look(connection, NAME)
    assert outcome.count == 1
    assert "absent: users" in outcome.scope
