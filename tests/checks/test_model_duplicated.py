from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "model_duplicated"


def test_the_same_name_elsewhere_or_dead_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", "a")
    add_model(connection, "azure", "a")
    add_model(connection, "openai", "A")
    add_model(connection, "openai", "a", deleted=True, deleted_at="2026-01-01")
    assert_clean(connection, NAME)


def test_two_live_models_of_one_name(connection):
    both = [add_model(connection, "openai", "a") for _ in range(2)]
    add_model(connection, "openai", "b")
    assert_finds(connection, NAME, *both, says="one of 2 live configs")
