from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "tombstone_adopted"


def test_a_tombstone_younger_than_its_provider_is_fine(connection):
    add_provider(connection, "openai", created_at="2026-01-01")
    add_model(connection, "openai", deleted=True, deleted_at="2026-02-01")
    add_model(connection, "azure", deleted=True, deleted_at="2025-01-01")
    assert_clean(connection, NAME)


def test_a_provider_created_after_the_tombstones_death(connection):
    add_provider(connection, "openai", created_at="2026-01-01")
    model = add_model(connection, "openai", deleted=True, deleted_at="2025-12-31")
    assert_finds(connection, NAME, model, says="older than the provider openai")
