from tests.support.tools import add_chat, add_model, add_provider, assert_clean, look

NAME = "chat_on_tombstone"


def test_a_chat_on_a_live_model_is_fine(connection):
    add_provider(connection, "openai")
    add_chat(connection, add_model(connection, "openai"))
    assert_clean(connection, NAME)


def test_chats_on_a_tombstone_are_told_by_state(connection):
    add_provider(connection, "openai")
    model = add_model(connection, "openai", deleted=True, deleted_at="2026-01-01")
    expected = {
        add_chat(connection, model, archived=True): "archived",
        add_chat(connection, model, status="running"): "in flight",
        add_chat(connection, model, status="pending"): "in flight",
        add_chat(connection, model, status="completed"): "open",
    }
    outcome = look(connection, NAME)
    said = {f.key["id"]: f.message.rpartition("it is ")[2] for f in outcome.findings}
    assert said == {str(chat): state for chat, state in expected.items()}
