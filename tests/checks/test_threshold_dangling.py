import uuid

import pytest

from tests.support.tools import (
    add_model,
    add_provider,
    add_user,
    assert_clean,
    assert_finds,
)

NAME = "threshold_dangling"
PREFIX = "chat_compaction_threshold_pct:"


@pytest.fixture
def model(upstream):
    add_provider(upstream, "openai")
    return add_model(upstream, "openai")


def store(connection, key):
    user = add_user(connection)
    connection.execute("insert into user_configs values (%s, %s, '70')", (user, key))
    return {"user_id": str(user), "key": key}


def test_a_live_model_is_fine(upstream, model):
    store(upstream, f"{PREFIX}{model}")
    store(upstream, f"{PREFIX}{model}".replace(str(model), str(model).upper()))
    store(upstream, "another:setting")
    assert_clean(upstream, NAME)


@pytest.mark.usefixtures("model")
def test_a_model_that_does_not_exist(upstream):
    key = store(upstream, f"{PREFIX}{uuid.uuid4()}")
    assert_finds(upstream, NAME, key, says="a model that does not exist")


def test_a_tombstone(upstream, model):
    key = store(upstream, f"{PREFIX}{model}")
    upstream.execute("update chat_model_configs set deleted = true")
    assert_finds(upstream, NAME, key, says="a tombstone")


@pytest.mark.parametrize("junk", ["", "x", "{}:{}", "{}x", "%s", "70%"])
def test_junk_is_a_finding_and_never_an_error(upstream, model, junk):
    key = store(upstream, PREFIX + junk.replace("{}", str(model)))
    assert_finds(upstream, NAME, key, says="no model id")
