import uuid

import pytest

from tests.tools import (
    add_chat,
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
    found,
    repaired,
)

NAME = "chat_without_model"


@pytest.fixture
def connection(connection):
    connection.execute("alter table chats drop constraint chats_last_model_config_id_fkey")
    return connection


def test_a_chat_on_any_model_is_fine(connection):
    add_provider(connection, "openai")
    add_chat(connection, add_model(connection, "openai"))
    add_chat(connection, add_model(connection, "openai", deleted=True, deleted_at="now"))
    assert_clean(connection, NAME)


def test_a_dangling_chat_is_found(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    missing = uuid.uuid4()
    chat = add_chat(connection, missing)
    messages = assert_finds(connection, NAME, chat)
    assert messages == [f"chat {chat} names model {missing}, which does not exist"]


def test_without_any_model_the_answer_is_not_believed(connection):
    add_chat(connection, uuid.uuid4())
    assert found(connection, NAME).status == "incomplete"


def test_a_person_must_decide(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    chat = add_chat(connection, uuid.uuid4())
    plan = repaired(connection, NAME)
    assert plan.actions == []
    assert [skip.key for skip in plan.skipped] == [{"id": str(chat)}]
