"""`sexton chat resolve` as its users type it."""

from tests.support.tools import add_chat, add_model, add_provider, refusal


def test_the_next_turns_model_is_said_and_why(sexton, connection):
    add_provider(connection, "openai")
    model = add_model(connection, "openai", "gpt\x1b[2J", is_default=True)
    chat = add_chat(connection, model)
    result = sexton("chat", "resolve", str(chat))
    assert result.code == 0
    assert result.stdout.startswith(f"gpt\\x1b[2J of openai ({model}): ")
    document = sexton("chat", "resolve", str(chat), "--format", "json").json
    assert set(document) == {"chat", "model", "fallback", "reason"}
    assert (document["model"]["id"], document["fallback"]) == (str(model), False)


def test_a_chat_that_is_not_there_is_not_found(sexton):
    code, status, _ = refusal(
        sexton("chat", "resolve", "00000000-0000-0000-0000-000000000001", "--format=json")
    )
    assert (code, status) == (2, 404)
    assert sexton("chat", "resolve", "seven").code == 2
