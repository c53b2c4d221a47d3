from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "orphaned_default"


def test_a_default_with_its_provider_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    add_model(connection, "azure")
    assert_clean(connection, NAME)


def test_a_default_that_is_a_tombstone_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "azure", is_default=True, deleted=True, deleted_at="2026-01-01")
    assert_clean(connection, NAME)


def test_a_default_without_its_provider(connection):
    add_provider(connection, "openai")
    lost = add_model(connection, "azure", is_default=True)
    add_model(connection, "azure")
    assert_finds(connection, NAME, lost, says="azure, which does not exist")
