import uuid

from tests.support.tools import (
    add_chat,
    add_message,
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
)

NAME = "message_without_model"
DROP = "alter table chat_messages drop constraint chat_messages_model_config_id_fkey"


def test_a_message_without_a_choice_is_fine(connection):
    add_provider(connection, "openai")
    model = add_model(connection, "openai")
    chat = add_chat(connection, model)
    add_message(connection, chat, None)
    add_message(connection, chat, model)
    assert_clean(connection, NAME)


def test_a_message_whose_model_has_no_row(connection):
    connection.execute(DROP)
    add_provider(connection, "openai")
    model = add_model(connection, "openai")
    chat = add_chat(connection, model)
    add_message(connection, chat, model)
    lost = add_message(connection, chat, uuid.uuid4())
    assert_finds(connection, NAME, lost, says="which does not exist")
