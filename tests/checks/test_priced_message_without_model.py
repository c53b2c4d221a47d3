from tests.support.tools import (
    add_chat,
    add_message,
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
)

NAME = "priced_message_without_model"


def test_a_cost_with_a_model_or_no_cost_is_fine(connection):
    add_provider(connection, "openai")
    model = add_model(connection, "openai")
    chat = add_chat(connection, model)
    add_message(connection, chat, model, total_cost_micros=10)
    add_message(connection, chat, None)
    assert_clean(connection, NAME)


def test_a_cost_without_a_model(connection):
    add_provider(connection, "openai")
    chat = add_chat(connection, add_model(connection, "openai"))
    costs = [add_message(connection, chat, None, total_cost_micros=c) for c in (0, 10)]
    assert_finds(connection, NAME, *costs, says="names no model")
