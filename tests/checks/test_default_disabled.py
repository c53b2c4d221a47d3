from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "default_disabled"


def test_an_enabled_default_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    add_model(connection, "openai", enabled=False)
    assert_clean(connection, NAME)


def test_a_disabled_default(connection):
    add_provider(connection, "openai")
    model = add_model(connection, "openai", is_default=True, enabled=False)
    assert_finds(connection, NAME, model, says="is disabled")
