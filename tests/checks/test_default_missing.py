from tests.tools import add_model, add_provider, assert_clean, found, repaired, table

NAME = "default_missing"


def test_no_live_model_needs_no_default(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", deleted=True, deleted_at="now", is_default=True)
    assert_clean(connection, NAME)


def test_one_default_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    add_model(connection, "openai")
    assert_clean(connection, NAME)


def test_live_models_without_a_default_are_found_once(connection):
    add_provider(connection, "openai")
    add_provider(connection, "google", enabled=False)
    for provider in ("openai", "openai", "google"):
        add_model(connection, provider)
    outcome = found(connection, NAME)
    assert (outcome.status, outcome.count) == ("fail", 1)
    assert outcome.findings[0].message == (
        "none of 3 live models is the default; 2 of them are usable"
    )


def test_a_tombstones_flag_is_no_default(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", deleted=True, deleted_at="now", is_default=True)
    add_model(connection, "openai")
    assert found(connection, NAME).count == 1


def test_the_repair_promotes_the_first_usable(connection):
    add_provider(connection, "azure", enabled=False)
    add_provider(connection, "openai")
    add_model(connection, "azure", "a")
    add_model(connection, "google", "a")  # an orphan
    add_model(connection, "openai", "a", enabled=False)
    heir = add_model(connection, "openai", "b")
    add_model(connection, "openai", "c")
    plan = repaired(connection, NAME)
    assert [action.key["id"] for action in plan.actions] == [str(heir)]
    defaults = [m["id"] for m in table(connection, "chat_model_configs") if m["is_default"]]
    assert defaults == [heir]


def test_with_nobody_usable_a_person_must_decide(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", enabled=False)
    plan = repaired(connection, NAME)
    assert plan.actions == []
    assert [(skip.check, skip.key) for skip in plan.skipped] == [(NAME, {})]
