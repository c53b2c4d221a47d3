"""Planning: what `sexton repair` says it would do, and why."""

import json
import uuid

import pytest

from sexton.check import in_order
from sexton.database import connect, scalar, snapshot
from sexton.errors import Incomplete, Refused, UsageError
from sexton.project import all_checks, current
from sexton.repair.apply import apply_plan
from sexton.repair.plan import Options
from sexton.repair.planner import plan_repair
from sexton.repair.undo import undo_run
from tests.support import product
from tests.support.tools import add_chat, add_message, add_model, add_provider, table

ALLOW = Options(max_rows=10_000, max_fraction=1.0, allow=("empty-parent",))


def planned(connection, *names, options=None, **given):
    chosen = [all_checks()[name] for name in names or all_checks()]
    if options is None:
        options = Options(named=names, **given)
    with snapshot(connection):
        return plan_repair(connection, chosen, options)


def repaired(connection, *names, **given):
    """Make the plan, and prove that another one has nothing left to do."""
    plan = planned(connection, *names, **given)
    made = apply_plan(connection, plan)
    assert made.rows == len(plan.actions) > 0
    assert not planned(connection, *names, **given).actions
    return plan


def whole(connection):
    """Every row of the product's tables."""
    names = ("chat_model_configs", "chat_providers", "chats", "chat_messages")
    return {name: table(connection, name) for name in names}


def incident(connection):
    """An orphan that is the default, a usable heir, a half-set tombstone."""
    add_provider(connection, "anthropic", api_key="sk-made-up")
    heir = add_model(connection, "anthropic", "claude")
    orphan = add_model(connection, "openai", "gpt", is_default=True)
    half = add_model(connection, "anthropic", "old", deleted=True)
    return heir, orphan, half


def test_a_clean_database_needs_no_repair(connection):
    add_provider(connection, "anthropic", api_key="x")
    add_model(connection, "anthropic", is_default=True)
    plan = planned(connection)
    assert (list(plan.actions), plan.skipped, plan.limits) == ([], [], [])


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


def test_naming_one_check_brings_the_repairs_that_must_follow(connection):
    incident(connection)
    plan = planned(connection, "model_without_provider")
    assert [a.check for a in plan.actions] == ["model_without_provider", "default_missing"]


def test_a_default_that_nobody_can_inherit_is_left_to_a_person(connection):
    add_provider(connection, "anthropic", enabled=False)
    add_model(connection, "anthropic")
    add_model(connection, "openai", is_default=True)
    plan = planned(connection, "model_without_provider")
    assert [a.check for a in plan.actions] == ["model_without_provider"]
    [skip] = plan.skipped
    assert skip.check == "default_missing"
    assert "no config is usable" in skip.reason
    apply_plan(connection, plan)


def test_planning_writes_nothing(connection):
    incident(connection)
    before = whole(connection)
    planned(connection)
    assert whole(connection) == before
    assert scalar(connection, "select to_regclass('sexton.changes')") is None


def test_the_reason_names_the_runners_up(connection):
    add_provider(connection, "anthropic")
    for model in ("a", "b", "c"):
        add_model(connection, "anthropic", model)
    [action] = planned(connection, "default_missing").actions
    assert action.why == (
        "a of anthropic is the first of 3 usable models by provider and model; "
        "the next are b of anthropic, c of anthropic"
    )


def test_a_role_that_may_only_read_can_plan(connection, url):
    incident(connection)
    connection.execute("drop role if exists sexton_reader")
    connection.execute("create role sexton_reader login")
    connection.execute("grant select on all tables in schema public to sexton_reader")
    connection.execute("grant usage on schema sexton to sexton_reader")
    connection.execute("grant select on sexton.alembic_version to sexton_reader")
    try:
        with connect(url, name="tests") as reader:
            reader.execute("set role sexton_reader")
            plan = planned(reader)
        assert len(plan.actions) == 3
        assert plan.limits == []
        assert plan.database["system_identifier"] is not None
        connection.execute("revoke execute on function pg_control_system() from public")
        with connect(url, name="tests") as reader:
            reader.execute("set role sexton_reader")
            plan = planned(reader)
        assert plan.database["system_identifier"] is None
        assert apply_plan(connection, plan).rows == 3
    finally:
        connection.execute("drop owned by sexton_reader")
        connection.execute("drop role sexton_reader")


def test_half_a_picture_is_no_plan(connection):
    incident(connection)
    connection.execute("create role sexton_blind")
    try:
        connection.execute(
            "grant select on chat_model_configs, chat_providers to sexton_blind"
        )
        connection.execute("set role sexton_blind")
        with pytest.raises(Incomplete, match="chat_without_model could not be run"):
            planned(connection)
        connection.execute("reset role")
    finally:
        connection.execute("drop owned by sexton_blind")
        connection.execute("drop role sexton_blind")


def test_what_loses_something_needs_unsafe_and_its_name(connection):
    add_provider(connection, "openai", enabled=False, central_api_key_enabled=True)
    plan = planned(connection, "provider_stub")
    [skip] = plan.skipped
    assert not plan.actions
    assert "sexton repair provider_stub --unsafe provider_stub" in skip.reason
    repaired(connection, "provider_stub", unsafe=("provider_stub",))
    assert table(connection, "chat_providers") == []


def test_unsafe_for_a_check_that_loses_nothing_is_a_mistake(connection):
    with pytest.raises(UsageError, match="loses nothing"):
        planned(connection, "default_missing", unsafe=("default_missing",))
    with pytest.raises(UsageError, match="not among those to repair"):
        planned(connection, "default_missing", unsafe=("provider_stub",))


def test_the_order_of_repairs_follows_from_what_checks_say():
    order = in_order(all_checks())
    for name, check in all_checks().items():
        assert all(order.index(earlier) < order.index(name) for earlier in check.after)
        assert all(order.index(name) < order.index(later) for later in check.followed_by)
    first = ["chat_without_model", "message_without_model", "provider_name_unknown"]
    assert [name for name in order if name in first] == first


def test_no_plan_can_hold_a_secret(connection):
    product.make_tables(connection)
    provider = add_provider(
        connection, "openai", api_key="sk-secret", allow_user_api_key=False
    )
    connection.execute(
        "insert into user_chat_provider_keys (user_id, chat_provider_id, api_key) "
        "values (gen_random_uuid(), %s, 'sk-secret-too')",
        (provider,),
    )
    plan = repaired(connection, "user_key_unusable", unsafe=("user_key_unusable",))
    assert "sk-secret" not in "".join(plan.lines())
    journal = scalar(connection, "select string_agg(c::text, '') from sexton.changes c")
    assert "sk-secret" not in journal
    assert not set(current().secrets) & set(json.loads(json.dumps(plan.actions[0].change)))


# -- the single repairs --------------------------------------------------------------


def test_misspelt_providers_are_repaired_only_when_asked(connection):
    add_provider(connection, "openai")
    misspelt = add_model(connection, " OpenAI", is_default=True)
    unknown = add_model(connection, "nobody", deleted=True, deleted_at="now")
    plan = planned(connection)
    assert [a.check for a in plan.actions] == ["orphaned_default"]
    assert {s.check for s in plan.skipped} >= {"provider_name_unknown"}
    plan = repaired(connection, "provider_name_unknown")
    [action] = plan.actions
    assert action.key == {"id": str(misspelt)}
    assert action.change["provider"] == [" OpenAI", "openai"]
    assert [skip.key for skip in plan.skipped] == [{"id": str(unknown)}]


def test_names_are_repaired_before_orphans_are_buried(connection):
    add_provider(connection, "openai")
    misspelt = add_model(connection, "OpenAI", is_default=True)
    names = ("model_without_provider", "provider_name_unknown")
    repaired(connection, *names)
    [model] = table(connection, "chat_model_configs")
    assert (model["id"], model["provider"], model["deleted"]) == (misspelt, "openai", False)


def drop_keys(connection):
    connection.execute(
        """
        alter table chats drop constraint chats_last_model_config_id_fkey;
        alter table chat_messages drop constraint chat_messages_model_config_id_fkey;
        """
    )


def test_lost_models_get_placeholders_from_what_debug_runs_remember(connection):
    product.make_tables(connection)
    add_provider(connection, "anthropic")
    kept = add_model(connection, "anthropic", is_default=True)
    drop_keys(connection)
    remembered, forgotten = uuid.uuid4(), uuid.uuid4()
    chat = add_chat(connection, remembered)
    add_message(connection, chat, remembered)
    add_message(connection, chat, forgotten)
    connection.execute(
        "insert into chat_debug_runs (chat_id, model_config_id, provider, model) "
        "values (%s, %s, 'openai', 'gpt-5')",
        (chat, remembered),
    )
    before = whole(connection)
    plan = repaired(connection)
    assert {(a.kind, a.check) for a in plan.actions} == {
        ("insert", "chat_without_model"),
        ("insert", "message_without_model"),
    }
    found = {row["id"]: row for row in table(connection, "chat_model_configs")}
    assert set(found) == {kept, remembered, forgotten}
    assert (found[remembered]["provider"], found[remembered]["model"]) == (
        "openai",
        "gpt-5",
    )
    assert found[forgotten]["model"] == "unknown"
    assert all(found[id]["deleted"] for id in (remembered, forgotten))
    assert whole(connection)["chat_messages"] == before["chat_messages"]
    undo_run(connection, 1)
    assert whole(connection) == before


def test_settings_of_models_that_are_gone_are_cleared(connection):
    product.make_tables(connection)
    add_provider(connection, "anthropic", api_key="x")
    add_model(connection, "anthropic", is_default=True)
    disabled = add_model(connection, "anthropic", "off", enabled=False)
    gone = uuid.uuid4()
    explore = "agents_chat_explore_model_override"
    general = "agents_chat_general_model_override"
    advisor = f'{{"max": 1.50, "model_config_id" : "{gone}", "über": [1]}}'
    product.set_site(connection, explore, f"{gone}:high")
    product.set_site(connection, general, str(disabled))
    product.set_site(connection, "agents_advisor_config", advisor)
    product.set_site(connection, "agents_computer_use_provider", "openai")
    personal = "chat_personal_model_override:root"
    product.set_user(connection, personal, f"model:{gone}")
    plan = repaired(connection)
    assert product.get_site(connection, explore) == ""
    assert product.get_site(connection, general) == str(disabled)
    assert product.get_site(connection, "agents_computer_use_provider") == ""
    assert product.get_site(connection, "agents_advisor_config") == advisor.replace(
        f'"{gone}"', "null"
    )
    assert scalar(connection, "select value from user_configs") == "chat_default"
    assert [(s.check, s.key) for s in plan.skipped] == [
        ("override_dangling", {"key": general})
    ]
    undo_run(connection, 1)
    assert product.get_site(connection, "agents_advisor_config") == advisor
    assert product.get_site(connection, explore) == f"{gone}:high"


def test_a_setting_that_a_repair_leaves_dangling_is_cleared_by_the_same_plan(connection):
    product.make_tables(connection)
    _, orphan, _ = incident(connection)
    product.set_site(connection, "agents_chat_general_model_override", str(orphan))
    plan = repaired(connection)
    assert plan.actions[-1].check == "override_dangling"
    assert plan.actions[-1].why.startswith("it names model")


def test_broken_json_is_left_to_a_person(connection):
    product.make_tables(connection)
    product.set_site(connection, "agents_advisor_config", "{broken")
    plan = planned(connection, "advisor_dangling")
    assert not plan.actions
    assert [skip.check for skip in plan.skipped] == ["advisor_dangling"]


def test_a_queued_message_loses_its_lost_model(connection):
    product.make_tables(connection)
    connection.execute(
        "insert into chat_queued_messages (chat_id, content, model_config_id) "
        "values (gen_random_uuid(), '{}', gen_random_uuid())"
    )
    plan = planned(connection, "queued_message_without_model", options=ALLOW)
    apply_plan(connection, plan)
    assert scalar(connection, "select model_config_id from chat_queued_messages") is None


def test_thresholds_of_lost_models_are_deleted_and_come_back_by_undo(connection):
    product.make_tables(connection)
    add_provider(connection, "anthropic", api_key="x")
    old = add_model(connection, "anthropic", deleted=True, deleted_at="now")
    product.set_user(connection, f"chat_compaction_threshold_pct:{uuid.uuid4()}", "70")
    product.set_user(connection, f"chat_compaction_threshold_pct:{old}", "60")
    every = "select jsonb_agg(u order by key) from user_configs u"
    before = scalar(connection, every)
    plan = repaired(connection, "threshold_dangling", unsafe=("threshold_dangling",))
    [action] = plan.actions
    assert action.kind == "delete"
    assert {after for _, after in action.change.values()} == {None}
    assert scalar(connection, "select count(*) from user_configs") == 1
    undo_run(connection, 1)
    assert scalar(connection, every) == before


def test_only_tombstones_that_nothing_names_are_purged(connection):
    product.make_tables(connection)
    add_provider(connection, "anthropic", api_key="x")
    old = {
        name: add_model(connection, "anthropic", name, deleted=True, deleted_at="now")
        for name in ("free", "chatted", "queued", "debugged", "set")
    }
    chat = add_chat(connection, old["chatted"])
    connection.execute(
        "insert into chat_queued_messages (chat_id, content, model_config_id) "
        "values (%s, '{}', %s)",
        (chat, old["queued"]),
    )
    connection.execute(
        "insert into chat_debug_runs (chat_id, model_config_id) values (%s, %s)",
        (chat, old["debugged"]),
    )
    product.set_user(connection, f"chat_compaction_threshold_pct:{old['set']}", "5")
    before = whole(connection)
    name = "tombstone_unreferenced"
    plan = repaired(connection, name, unsafe=(name,))
    assert [a.key["id"] for a in plan.actions] == [str(old["free"])]
    undo_run(connection, 1)
    assert whole(connection) == before


def test_a_stub_is_kept_while_a_live_model_needs_it(connection):
    add_provider(connection, "openai", enabled=False)
    add_model(connection, "openai")
    plan = planned(connection, "provider_stub", unsafe=("provider_stub",))
    assert not plan.actions
    assert [skip.check for skip in plan.skipped] == ["provider_stub"]


def test_of_several_defaults_the_usable_one_updated_last_stays(connection):
    connection.execute("drop index idx_chat_model_configs_single_default")
    add_provider(connection, "anthropic")
    ids = [
        add_model(connection, "anthropic", name, is_default=True, updated_at=at)
        for name, at in (("a", "2026-01-01"), ("b", "2026-03-01"), ("c", "2026-02-01"))
    ]
    repaired(connection, "default_ambiguous")
    models = table(connection, "chat_model_configs")
    assert [m["id"] for m in models if m["is_default"]] == [ids[1]]


def test_at_an_older_revision_what_cannot_be_looked_at_is_left_out(database):
    url = database("0001")
    with connect(url, name="tests") as connection:
        plan = planned(connection)
        assert (list(plan.actions), plan.revision) == ([], "0001")


def test_hidden_parents_are_refused(connection):
    incident(connection)
    connection.execute(
        "alter table chat_providers enable row level security;"
        "create role sexton_hidden; grant select on all tables in schema public "
        "to sexton_hidden"
    )
    try:
        connection.execute("set role sexton_hidden")
        with pytest.raises(Refused, match="row security may hide rows of chat_providers"):
            planned(connection)
        connection.execute("reset role")
    finally:
        connection.execute("drop owned by sexton_hidden")
        connection.execute("drop role sexton_hidden")
