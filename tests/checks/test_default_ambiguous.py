from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "default_ambiguous"


def test_one_default_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    add_model(connection, "openai", is_default=True, deleted=True, deleted_at="2026-01-01")
    assert_clean(connection, NAME)


def test_two_live_defaults(connection):
    connection.execute("drop index idx_chat_model_configs_single_default")
    add_provider(connection, "openai")
    both = [add_model(connection, "openai", m, is_default=True) for m in ("a", "b")]
    add_model(connection, "openai", "c")
    assert_finds(connection, NAME, *both, says="is one of 2 defaults")
