from tests.tools import add_model, add_provider, assert_clean, assert_finds, repaired

NAME = "default_disabled"


def test_an_enabled_default_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    add_model(connection, "openai", enabled=False)
    assert_clean(connection, NAME)


def test_a_tombstone_may_be_disabled(connection):
    values = {"enabled": False, "is_default": True, "deleted": True, "deleted_at": "now"}
    add_model(connection, "openai", **values)
    assert_clean(connection, NAME)


def test_a_disabled_default_is_found(connection):
    add_provider(connection, "openai")
    model = add_model(connection, "openai", "gpt", is_default=True, enabled=False)
    messages = assert_finds(connection, NAME, model)
    assert messages == ["default model gpt of openai is disabled"]


def test_a_person_must_decide(connection):
    add_provider(connection, "openai")
    model = add_model(connection, "openai", is_default=True, enabled=False)
    plan = repaired(connection, NAME)
    assert plan.actions == []
    assert [(s.key, "promote another" in s.reason) for s in plan.skipped] == [
        ({"id": str(model)}, True)
    ]
