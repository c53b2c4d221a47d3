import uuid

import pytest

from tests.support.tools import (
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
    configure,
)

NAME = "title_override_dangling"
TITLE = "agents_chat_title_generation_model_override"


@pytest.fixture
def model(upstream):
    add_provider(upstream, "openai")
    return add_model(upstream, "openai")


def test_a_model_that_is_gone_is_no_more_than_information(upstream, model):
    configure(upstream, TITLE, str(model))
    upstream.execute("update chat_model_configs set deleted = true, deleted_at = now()")
    assert_finds(upstream, NAME, {"key": TITLE}, says="a tombstone")
    assert_clean(upstream, "override_dangling")
    configure(upstream, TITLE, str(uuid.uuid4()))
    assert_finds(upstream, NAME, {"key": TITLE}, says="which does not exist")
    assert_clean(upstream, "override_dangling")


@pytest.mark.parametrize("value", ["junk", "{}", str(uuid.UUID(int=0)), ""])
def test_what_makes_titles_fail_or_is_unset_is_not_said_here(upstream, model, value):
    configure(upstream, TITLE, value.format(model))
    upstream.execute("update chat_providers set enabled = false")
    assert_clean(upstream, NAME)


def test_another_override_of_a_model_that_is_gone_is_a_warning(upstream, model):
    key = "agents_chat_explore_model_override"
    configure(upstream, key, str(uuid.uuid4()))
    assert_clean(upstream, NAME)
    assert_finds(upstream, "override_dangling", {"key": key})
