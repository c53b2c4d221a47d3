from tests.tools import add_chat, add_model, add_provider, assert_clean, assert_finds

NAME = "chat_on_tombstone"


def test_a_chat_on_a_live_model_is_fine(connection):
    add_provider(connection, "openai")
    add_chat(connection, add_model(connection, "openai"))
    assert_clean(connection, NAME)


def test_a_chat_on_a_tombstone_is_found_with_its_state(connection):
    gone = add_model(connection, "openai", "gpt", deleted=True, deleted_at="now")
    chats = [
        add_chat(connection, gone),
        add_chat(connection, gone, status="running"),
        add_chat(connection, gone, status="running", archived=True),
    ]
    messages = assert_finds(connection, NAME, *chats)
    states = {message.rpartition("it is ")[2] for message in messages}
    assert states == {"open", "in flight", "archived"}
