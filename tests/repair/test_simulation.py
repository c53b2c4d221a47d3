"""Each repair is planned as if the ones before it were made."""

from sexton.database import connect
from sexton.repair.apply import apply_plan
from tests.support import product
from tests.support.repairs import incident, planned, repaired
from tests.support.tools import add_model, add_provider, table


def test_one_plan_cures_an_orphan_and_the_default_it_takes_along(connection):
    heir, orphan, half = incident(connection)
    plan = planned(connection)
    assert [(a.check, a.key["id"]) for a in plan.actions] == [
        ("tombstone_half_set", str(half)),
        ("model_without_provider", str(orphan)),
        ("default_missing", str(heir)),
    ]
    apply_plan(connection, plan)
    assert not planned(connection).actions
    found = {row["id"]: row for row in table(connection, "chat_model_configs")}
    assert found[heir]["is_default"]
    assert found[orphan]["deleted"]


def test_names_are_repaired_before_orphans_are_buried(connection):
    add_provider(connection, "openai")
    misspelt = add_model(connection, "OpenAI", is_default=True)
    names = ("model_without_provider", "provider_name_unknown")
    repaired(connection, *names)
    [model] = table(connection, "chat_model_configs")
    assert (model["id"], model["provider"], model["deleted"]) == (misspelt, "openai", False)


def test_a_setting_that_a_repair_leaves_dangling_is_cleared_by_the_same_plan(connection):
    product.make_tables(connection)
    _, orphan, _ = incident(connection)
    product.set_site(connection, "agents_chat_general_model_override", str(orphan))
    plan = repaired(connection)
    assert plan.actions[-1].check == "override_dangling"
    assert plan.actions[-1].why.startswith("it names model")


def test_a_stub_is_kept_while_a_live_model_needs_it(connection):
    add_provider(connection, "openai", enabled=False)
    add_model(connection, "openai")
    plan = planned(connection, "provider_stub", unsafe=("provider_stub",))
    assert not plan.actions
    assert [skip.check for skip in plan.skipped] == ["provider_stub"]


def test_at_an_older_revision_what_cannot_be_looked_at_is_left_out(database):
    url = database("0001")
    with connect(url, name="tests") as connection:
        plan = planned(connection)
        assert (list(plan.actions), plan.revision) == ([], "0001")
