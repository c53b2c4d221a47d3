from tests.support.tools import add_model, add_provider, assert_clean, assert_finds, look

NAME = "model_without_provider"


def test_a_model_with_its_provider_is_fine(connection):
    add_provider(connection, "openai", enabled=False)
    add_model(connection, "openai")
    assert_clean(connection, NAME)


def test_a_tombstone_needs_no_provider(connection):
    add_provider(connection, "google")
    add_model(connection, "openai", deleted=True, deleted_at="2026-01-01")
    assert_clean(connection, NAME)


def test_a_live_model_of_a_provider_without_row(connection):
    add_provider(connection, "openai")
    lost = [add_model(connection, name, "m") for name in ("OpenAI", "azure", "zzz")]
    assert_finds(connection, NAME, *lost, says="which does not exist")


def test_where_no_provider_has_a_row_it_is_not_believed(connection):
    add_model(connection, "openai")
    outcome = look(connection, NAME)
    assert outcome.status == "incomplete"
    assert "chat_providers is empty" in str(outcome.reason)


def test_where_the_key_stands_nothing_need_be_looked_at(database):
    from contextlib import closing

    from sexton.database import connect

    with closing(connect(database("0003"), name="tests")) as connection:
        outcome = look(connection, NAME, recheck=False)
    assert outcome.status == "pass"
    assert outcome.reason == "enforced by CONSTRAINT chat_model_configs_provider_fkey"
