from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "provider_without_model"


def test_a_model_that_can_be_chosen_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    add_provider(connection, "google", enabled=False)
    assert_clean(connection, NAME)


def test_only_tombstones_and_disabled_models(connection):
    provider = add_provider(connection, "openai")
    add_model(connection, "openai", enabled=False)
    add_model(connection, "openai", deleted=True, deleted_at="2026-01-01")
    assert_finds(connection, NAME, provider, says="no live and enabled model")
