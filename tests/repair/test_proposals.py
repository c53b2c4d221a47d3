"""What repairs propose, in words and columns."""

import json
import uuid

from sexton.database import scalar
from sexton.project import all_checks, current
from sexton.repair.apply import apply_plan
from sexton.repair.undo import undo_run
from tests.support import product
from tests.support.repairs import ALLOW, planned, repaired, whole
from tests.support.tools import add_chat, add_model, add_provider, table


def test_the_reason_names_the_runners_up(connection):
    add_provider(connection, "anthropic")
    for model in ("a", "b", "c"):
        add_model(connection, "anthropic", model)
    [action] = planned(connection, "default_missing").actions
    assert action.why == (
        "a of anthropic is the first of 3 usable models by provider and model; "
        "the next are b of anthropic, c of anthropic"
    )


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


def test_every_repair_is_explained():
    for name, check in all_checks().items():
        if check.data_loss:
            assert "--unsafe" in check.explanation, name
