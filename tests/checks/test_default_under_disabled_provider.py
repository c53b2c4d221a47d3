from tests.tools import add_model, add_provider, assert_clean, assert_finds, repaired

NAME = "default_under_disabled_provider"


def test_an_enabled_provider_is_fine(connection):
    add_provider(connection, "openai")
    add_provider(connection, "google", enabled=False)
    add_model(connection, "openai", is_default=True)
    add_model(connection, "google")
    assert_clean(connection, NAME)


def test_an_orphan_is_another_matter(connection):
    add_provider(connection, "openai")
    add_model(connection, "google", is_default=True)
    assert_clean(connection, NAME)


def test_a_default_under_a_disabled_provider_is_found(connection):
    add_provider(connection, "openai", enabled=False)
    model = add_model(connection, "openai", "gpt", is_default=True)
    messages = assert_finds(connection, NAME, model)
    assert messages == ["default model gpt stands under provider openai, which is disabled"]


def test_a_person_must_decide(connection):
    add_provider(connection, "openai", enabled=False)
    add_model(connection, "openai", is_default=True)
    plan = repaired(connection, NAME)
    assert plan.actions == []
    assert [skip.check for skip in plan.skipped] == [NAME]
