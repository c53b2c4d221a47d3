from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "default_under_disabled_provider"


def test_an_enabled_provider_is_fine(connection):
    add_provider(connection, "openai")
    add_provider(connection, "google", enabled=False)
    add_model(connection, "openai", is_default=True)
    add_model(connection, "google")
    assert_clean(connection, NAME)


def test_a_default_under_a_disabled_provider(connection):
    add_provider(connection, "openai", enabled=False)
    model = add_model(connection, "openai", is_default=True)
    assert_finds(connection, NAME, model, says="openai, which is disabled")
