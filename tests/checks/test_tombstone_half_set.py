from tests.tools import add_model, add_provider, assert_clean, assert_finds, repaired, table

NAME = "tombstone_half_set"


def test_whole_ones_are_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    add_model(connection, "openai", deleted=True, deleted_at="now")
    assert_clean(connection, NAME)


def test_both_halves_are_found(connection):
    add_provider(connection, "openai")
    timeless = add_model(connection, "openai", "a", deleted=True)
    undead = add_model(connection, "openai", "b", deleted_at="2026-01-01T00:00:00Z")
    messages = assert_finds(connection, NAME, timeless, undead)
    assert "model a of openai: deleted is true, deleted_at null" in messages


def test_the_repair_takes_the_last_update_for_the_time(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", deleted=True, updated_at="2026-02-03T04:05:06.789Z")
    repaired(connection, NAME)
    [model] = table(connection, "chat_model_configs")
    assert model["deleted_at"] == model["updated_at"]
    assert model["deleted_at"].isoformat() == "2026-02-03T04:05:06.789000+00:00"


def test_the_living_are_left_to_a_person(connection):
    add_provider(connection, "openai")
    undead = add_model(connection, "openai", deleted_at="now")
    timeless = add_model(connection, "openai", deleted=True)
    plan = repaired(connection, NAME)
    assert [action.key["id"] for action in plan.actions] == [str(timeless)]
    assert [skip.key["id"] for skip in plan.skipped] == [str(undead)]
    assert_finds(connection, NAME, undead)
