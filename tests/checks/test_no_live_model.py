from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "no_live_model"


def test_one_live_model_is_enough(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", enabled=False)
    assert_clean(connection, NAME)


def test_only_tombstones_are_left(connection):
    add_model(connection, "openai", deleted=True, deleted_at="2026-01-01")
    assert_finds(connection, NAME, {}, says="1 are tombstones")


def test_a_provider_without_any_model(connection):
    add_provider(connection, "openai")
    assert_finds(connection, NAME, {}, says="no model config is live")
