import uuid

import pytest

from tests.support.tools import (
    add_model,
    add_provider,
    add_user,
    assert_clean,
    assert_finds,
)

NAME = "personal_override_dangling"
KEY = "chat_personal_model_override:root"


@pytest.fixture
def choose(upstream):
    add_provider(upstream, "openai")
    add_model(upstream, "openai")
    user = add_user(upstream)

    def choose(value, key=KEY):
        upstream.execute("insert into user_configs values (%s, %s, %s)", (user, key, value))
        return {"user_id": str(user), "key": key}

    return choose


def model(connection):
    return connection.execute("select id from chat_model_configs").fetchone()["id"]


@pytest.mark.parametrize(
    "form",
    [
        *("model:{}", "model:{}:high", "chat_default", "deployment_default", ""),
        f"model:{uuid.UUID(int=0)}",
    ],
)
def test_a_usable_model_or_a_default_is_fine(upstream, choose, form):
    choose(form.format(model(upstream)))
    assert_clean(upstream, NAME)


@pytest.mark.parametrize("use", ["root", "general", "explore"])
def test_a_model_that_does_not_exist(upstream, choose, use):
    key = choose(f"model:{uuid.uuid4()}", f"chat_personal_model_override:{use}")
    assert_finds(upstream, NAME, key, says="which does not exist")


@pytest.mark.parametrize("value", ["junk", "model:", "model:gpt-5", "{}"])
def test_junk_is_a_finding_and_never_an_error(upstream, choose, value):
    key = choose(value.format(model(upstream)))
    assert_finds(upstream, NAME, key, says="holds no model id")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("update chat_model_configs set deleted = true, deleted_at = now()", "a tombstone"),
        ("update chat_model_configs set enabled = false", "which is disabled"),
        ("update chat_providers set enabled = false", "whose provider is disabled"),
    ],
)
def test_a_model_that_cannot_be_used(upstream, choose, change, says):
    key = choose(f"model:{model(upstream)}")
    upstream.execute(change)
    assert_finds(upstream, NAME, key, says=says)
