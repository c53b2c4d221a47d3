import uuid

import pytest

from tests.support.tools import (
    add_chat,
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
    look,
)

NAME = "chat_without_model"


@pytest.fixture
def model(connection):
    connection.execute("alter table chats drop constraint chats_last_model_config_id_fkey")
    add_provider(connection, "openai")
    return add_model(connection, "openai")


def test_a_chat_with_its_model_is_fine(connection, model):
    add_chat(connection, model)
    assert_clean(connection, NAME)


def test_a_chat_on_a_tombstone_is_fine(connection, model):
    add_chat(connection, model)
    connection.execute("update chat_model_configs set deleted = true, deleted_at = now()")
    assert_clean(connection, NAME)


def test_a_chat_whose_model_has_no_row(connection, model):
    chats = [add_chat(connection, uuid.uuid4()) for _ in range(3)]
    add_chat(connection, model)
    assert_finds(connection, NAME, *chats, says="which does not exist")


def test_where_no_model_has_a_row_it_is_not_believed(connection, model):
    add_chat(connection, model)
    connection.execute("delete from chat_model_configs")
    outcome = look(connection, NAME)
    assert outcome.status == "incomplete"
    assert "chat_model_configs is empty" in str(outcome.reason)
