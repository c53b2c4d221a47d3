from tests.tools import (
    add_chat,
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
    found,
    repaired,
    table,
)

NAME = "model_without_provider"


def test_a_model_with_its_provider_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    assert_clean(connection, NAME)


def test_a_tombstone_needs_no_provider(connection):
    add_provider(connection, "openai")
    add_model(connection, "google", deleted=True, deleted_at="now")
    assert_clean(connection, NAME)


def test_an_orphan_is_found(connection):
    add_provider(connection, "openai")
    orphan = add_model(connection, "google", "gemini")
    messages = assert_finds(connection, NAME, orphan)
    assert messages == ["model gemini names provider google, which does not exist"]


def test_another_case_is_another_provider(connection):
    add_provider(connection, "openai")
    assert_finds(connection, NAME, add_model(connection, "OpenAI"))


def test_an_empty_parent_table_is_not_believed(connection):
    add_model(connection, "openai")
    outcome = found(connection, NAME)
    assert outcome.status == "incomplete"
    assert "chat_providers is empty" in outcome.reason


def test_the_repair_makes_a_tombstone_and_history_stays(connection):
    add_provider(connection, "openai")
    orphan = add_model(connection, "google", "gemini")
    chat = add_chat(connection, orphan)
    repaired(connection, NAME)
    [model] = table(connection, "chat_model_configs")
    assert model["deleted"]
    assert model["deleted_at"] == model["updated_at"]
    assert table(connection, "chats")[0]["id"] == chat
    assert_clean(connection, NAME)


def test_curing_the_default_promotes_an_heir_in_the_same_plan(connection):
    add_provider(connection, "openai")
    heir = add_model(connection, "openai")
    orphan = add_model(connection, "google", is_default=True)
    plan = repaired(connection, NAME)
    assert [(a.check, a.key["id"]) for a in plan.actions] == [
        (NAME, str(orphan)),
        ("default_missing", str(heir)),
    ]
    assert_clean(connection, "default_missing")


def test_where_the_key_stands_nothing_need_be_looked_at(database):
    from contextlib import closing

    from toolkit.database import connect

    with closing(connect(database("0003"), name="tests")) as connection:
        outcome = found(connection, NAME)
    assert outcome.status == "pass"
    assert outcome.reason == "enforced by CONSTRAINT chat_model_configs_provider_fkey"
