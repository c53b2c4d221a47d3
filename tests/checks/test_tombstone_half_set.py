from tests.support.tools import add_model, assert_clean, assert_finds

NAME = "tombstone_half_set"


def test_both_or_neither_is_fine(connection):
    add_model(connection, "openai")
    add_model(connection, "openai", deleted=True, deleted_at="2026-01-01")
    assert_clean(connection, NAME)


def test_a_tombstone_without_a_time(connection):
    model = add_model(connection, "openai", deleted=True)
    assert_finds(connection, NAME, model, says="deleted is true, deleted_at null")


def test_a_live_model_with_a_time(connection):
    model = add_model(connection, "openai", deleted_at="2026-01-01T00:00:00Z")
    assert_finds(connection, NAME, model, says="deleted is false, deleted_at 2026-01-01")
