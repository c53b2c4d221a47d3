from tests.support.tools import add_model, assert_clean, assert_finds

NAME = "tombstone_still_default"


def test_a_live_default_is_fine(connection):
    add_model(connection, "openai", is_default=True)
    add_model(connection, "openai", deleted=True, deleted_at="2026-01-01")
    assert_clean(connection, NAME)


def test_any_number_of_tombstones_may_have_the_flag(connection):
    former = [
        add_model(connection, "openai", is_default=True, deleted=True) for _ in range(2)
    ]
    assert_finds(connection, NAME, *former, says="was the default")
