import uuid

import pytest

from sexton.database import scalar
from tests.support.tools import (
    add_model,
    add_provider,
    add_queued,
    add_user,
    assert_clean,
    assert_finds,
    look,
)

NAME = "queued_message_without_model"


@pytest.fixture
def model(upstream):
    add_provider(upstream, "openai")
    return add_model(upstream, "openai")


@pytest.fixture
def chat(upstream, model):
    organization = uuid.uuid4()
    upstream.execute(
        "insert into organizations (id, name) values (%s, 'o')", [organization]
    )
    return scalar(
        upstream,
        "insert into chats (owner_id, last_model_config_id, organization_id) "
        "values (%s, %s, %s) returning id",
        *(add_user(upstream), model, organization),
    )


def test_a_live_model_or_no_choice_is_fine(upstream, chat, model):
    add_queued(upstream, chat, model)
    add_queued(upstream, chat, None)
    assert_clean(upstream, NAME)


def test_a_model_that_does_not_exist(upstream, chat):
    queued = add_queued(upstream, chat, uuid.uuid4())
    assert_finds(upstream, NAME, queued, says="which does not exist")


def test_a_model_that_is_a_tombstone(upstream, chat, model):
    add_model(upstream, "openai", "other")
    queued = add_queued(upstream, chat, model)
    upstream.execute("update chat_model_configs set deleted = true where id = %s", [model])
    assert_finds(upstream, NAME, queued, says="which is a tombstone")


def test_without_the_column_it_is_skipped(upstream):
    upstream.execute("alter table chat_queued_messages drop column model_config_id")
    outcome = look(upstream, NAME)
    assert outcome.status == "skipped"
    assert outcome.reason == "chat_queued_messages has no column model_config_id"
