from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "default_missing"


def test_a_default_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    assert_clean(connection, NAME)


def test_tombstones_alone_need_no_default(connection):
    add_model(connection, "openai", deleted=True, deleted_at="2026-01-01")
    assert_clean(connection, NAME)


def test_live_models_without_a_default(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", "a")
    add_model(connection, "openai", "b", enabled=False)
    add_model(connection, "openai", "c", deleted=True, is_default=True)
    says = "none of 2 live models is the default; 1 of them are usable"
    assert_finds(connection, NAME, {}, says=says)
