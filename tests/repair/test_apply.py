"""Applying a plan, the safety limits before it, the journal of it, and its undo."""

import contextlib
import datetime
import json
import threading

import pytest

from sexton import journal
from sexton.database import REPAIR, rows, scalar
from sexton.errors import Busy, NotFound, Refused, RepairIncomplete, UsageError
from sexton.project import all_checks
from sexton.repair import batches
from sexton.repair.apply import apply_plan
from sexton.repair.plan import Options
from sexton.repair.planfile import read_plan, write_plan
from sexton.repair.undo import undo_run
from tests.repair.test_planning import ALLOW, incident, planned, whole
from tests.support.tools import add_model, add_provider, second_connection, table


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.json"


@pytest.fixture
def other(url):
    with contextlib.closing(second_connection(url)) as opened:
        yield opened


@pytest.fixture
def small_batches(monkeypatch):
    """Make plans of more than 10 rows large, in batches of 10."""
    for name in ("SMALL", "FIRST_BATCH", "SMALLEST_BATCH", "LARGEST_BATCH"):
        monkeypatch.setattr(batches, name, 10)


def saved(connection, path, *names, **given):
    plan = planned(connection, *names, **given)
    write_plan(plan, path)
    return plan


def orphans(connection, count):
    """A usable model, and orphans of which one is the default."""
    add_provider(connection, "anthropic", api_key="sk-made-up")
    heir = add_model(connection, "anthropic")
    connection.execute(
        """
        insert into chat_model_configs
            (provider, model, is_default, context_limit, compression_threshold)
        select 'openai', 'model ' || n, n = 1, 1, 1 from generate_series(1, %s) as n
        """,
        (count,),
    )
    return heir


def changed(connection, run):
    return journal.get_run(connection, run)["rows"]


# -- the plan file ---------------------------------------------------------------------


def test_a_saved_plan_is_the_plan(connection, path):
    incident(connection)
    plan = saved(connection, path)
    read = read_plan(path)
    assert read.document() == plan.document() == json.loads(path.read_text())
    assert read.digest == plan.digest
    assert list(read.actions) == plan.actions


def test_a_plan_laid_out_anew_is_the_same_plan(connection, path):
    incident(connection)
    plan = saved(connection, path)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    read = read_plan(path)
    assert (read.document(), read.digest) == (plan.document(), plan.digest)
    assert apply_plan(connection, read).rows == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"deleted":[false,true]', '"deleted":[false,false]'),
        ('"max_rows":1000', '"max_rows":9999'),
        ('"expires_at":"2', '"expires_at":"9'),
        ("default_missing", "default_ambiguous"),
    ],
)
def test_an_altered_plan_is_refused(connection, path, old, new):
    incident(connection)
    saved(connection, path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(Refused, match="was altered after it was made"):
        read_plan(path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document))
    with pytest.raises(Refused, match="was altered after it was made"):
        read_plan(path)


def test_half_a_plan_is_no_plan(connection, path):
    incident(connection)
    saved(connection, path)
    text = path.read_text()
    for length in range(0, len(text) - 3, 7):
        path.write_text(text[:length])
        with pytest.raises((UsageError, Refused)):
            read_plan(path)


def test_a_plan_that_cannot_be_read_or_written_says_why(connection, tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        read_plan(tmp_path / "absent.json")
    with pytest.raises(UsageError, match=r"cannot write .*No such file"):
        write_plan(planned(connection), tmp_path / "absent" / "plan.json")


# -- refusals --------------------------------------------------------------------------


def test_a_plan_for_another_database_is_refused(connection, database, path):
    incident(connection)
    saved(connection, path)
    with contextlib.closing(second_connection(database("head"))) as elsewhere:
        incident(elsewhere)
        with pytest.raises(Refused, match="made for the database"):
            apply_plan(elsewhere, read_plan(path))


def test_an_expired_plan_is_refused(connection):
    incident(connection)
    before = whole(connection)
    plan = planned(connection)
    object.__setattr__(plan, "expires_at", datetime.datetime.now(datetime.UTC))
    with pytest.raises(Refused, match="expired"):
        apply_plan(connection, plan)
    assert whole(connection) == before


def test_a_plan_of_another_revision_is_refused(connection):
    incident(connection)
    plan = planned(connection)
    connection.execute("update sexton.alembic_version set version_num = '0003'")
    with pytest.raises(Refused, match=r"made at revision 0004, .* is at 0003"):
        apply_plan(connection, plan)


def test_a_stale_plan_changes_nothing_and_names_the_rows_that_moved(connection):
    _, orphan, _ = incident(connection)
    plan = planned(connection)
    connection.execute(
        "update chat_model_configs set updated_at = now() where id = %s", (orphan,)
    )
    before = whole(connection)
    with pytest.raises(Refused, match=f"moved since .* id={orphan}; nothing was changed"):
        apply_plan(connection, plan)
    assert whole(connection) == before
    assert journal.list_runs(connection) == []


def test_a_row_that_is_gone_has_moved(connection):
    _, orphan, _ = incident(connection)
    plan = planned(connection)
    connection.execute("delete from chat_model_configs where id = %s", (orphan,))
    with pytest.raises(Refused, match=f"id={orphan}"):
        apply_plan(connection, plan)


@pytest.mark.usefixtures("small_batches")
def test_a_large_stale_plan_changes_nothing_either(connection):
    orphans(connection, 45)
    plan = planned(connection, options=ALLOW)
    last = plan.actions[-3].key["id"]
    connection.execute(
        "update chat_model_configs set updated_at = now() where id = %s", (last,)
    )
    before = whole(connection)
    with pytest.raises(Refused, match=f"id={last}; nothing was changed"):
        apply_plan(connection, plan)
    assert whole(connection) == before


@pytest.mark.usefixtures("small_batches")
def test_a_row_that_moves_between_two_batches_stops_the_plan_there(connection, other):
    heir = orphans(connection, 45)
    plan = planned(connection, options=ALLOW)
    victim = plan.actions[33].key["id"]

    def meddle(done, _):
        if done == 20:
            other.execute(
                "update chat_model_configs set updated_at = now() where id = %s", (victim,)
            )

    with pytest.raises(Refused, match=f"id={victim}; 30 of 46 rows were changed before"):
        apply_plan(connection, plan, progress=meddle)
    assert changed(connection, 1) == 30
    undo_run(connection, 1)
    assert not any(row["deleted"] for row in table(connection, "chat_model_configs"))
    apply_plan(connection, planned(connection, options=ALLOW))
    models = table(connection, "chat_model_configs")
    assert [m["id"] for m in models if m["is_default"] and not m["deleted"]] == [heir]


def test_a_cure_that_does_not_hold_keeps_nothing(connection):
    incident(connection)
    plan = planned(connection, "model_without_provider")
    before = whole(connection)
    connection.execute(
        """
        create function undo_it() returns trigger language plpgsql
            as 'begin new.deleted := false; return new; end';
        create trigger meddler before update on chat_model_configs
            for each row when (new.provider = 'openai') execute function undo_it();
        """
    )
    with pytest.raises(Refused, match="the trigger meddler on chat_model_configs fires"):
        apply_plan(connection, plan)
    plan = planned(
        connection, "model_without_provider", options=Options(allow=("triggers",))
    )
    assert [(g.limit, g.lifted) for g in plan.limits] == [("triggers", True)]
    with pytest.raises((RepairIncomplete, Refused)):
        apply_plan(connection, plan)
    assert whole(connection) == before
    assert journal.list_runs(connection) == []


def test_a_repair_inside_the_callers_transaction_goes_with_it(connection):
    incident(connection)
    before = whole(connection)
    plan = planned(connection)
    with connection.transaction(force_rollback=True):
        assert apply_plan(connection, plan).rows == 3
    assert whole(connection) == before
    assert apply_plan(connection, plan).rows == 3


# -- safety limits ----------------------------------------------------------------------


def refusal(connection, plan):
    before = whole(connection)
    with pytest.raises(Refused) as caught:
        apply_plan(connection, plan)
    assert whole(connection) == before
    return caught.value


def test_too_many_rows_are_refused(connection):
    orphans(connection, 20)
    options = Options(max_rows=20, max_fraction=1)
    error = refusal(connection, planned(connection, options=options))
    assert "21 rows would change, and 20 is the limit" in error.message
    assert "--max-rows 21" in error.hint
    lifted = planned(connection, options=Options(max_rows=21, max_fraction=1))
    assert apply_plan(connection, lifted).rows == 21


def test_most_of_a_table_is_refused_and_the_lifted_guard_is_in_the_plan(connection):
    orphans(connection, 20)
    error = refusal(connection, planned(connection))
    assert "21 of the 21 rows of chat_model_configs would change" in error.message
    assert "--max-fraction 1" in error.hint
    plan = planned(connection, options=Options(max_fraction=1.0))
    assert [(g.limit, g.lifted) for g in plan.limits] == [("fraction", True)]
    apply_plan(connection, plan)
    assert journal.get_run(connection, 1)["options"]["max_fraction"] == 1.0


def test_an_empty_parent_is_not_believed(connection):
    add_model(connection, "openai")
    error = refusal(connection, planned(connection))
    assert "chat_providers is empty" in error.message
    assert "--allow-empty-parent" in error.hint
    plan = planned(connection, options=Options(allow=("empty-parent",)))
    assert apply_plan(connection, plan).rows == 1


def test_an_unknown_revision_is_refused(connection):
    incident(connection)
    connection.execute("update sexton.alembic_version set version_num = '9999'")
    error = refusal(connection, planned(connection))
    assert "revision 9999, which this Sexton does not know" in error.message
    connection.execute("drop table sexton.alembic_version")
    error = refusal(connection, planned(connection))
    assert "the database has no revision" in error.message
    assert "--allow-revision" in error.hint


def test_a_cascade_that_reaches_other_rows_is_refused(connection):
    stub = add_provider(connection, "openai", enabled=False)
    connection.execute(
        "insert into user_chat_provider_keys (user_id, chat_provider_id, api_key) "
        "values (gen_random_uuid(), %s, 'x')",
        (stub,),
    )
    unsafe = {"named": ("provider_stub",), "unsafe": ("provider_stub",)}
    plan = planned(connection, "provider_stub", options=Options(**unsafe))
    error = refusal(connection, plan)
    assert "would reach 1 row of user_chat_provider_keys" in error.message
    assert "--allow-cascades" in error.hint


# -- two at once, and twice ------------------------------------------------------------


def test_of_two_who_apply_a_plan_at_once_one_does_it_and_the_other_is_told(
    connection, other, path
):
    incident(connection)
    saved(connection, path)
    barrier = threading.Barrier(2)
    results = []

    def go(opened):
        barrier.wait()
        try:
            results.append(apply_plan(opened, read_plan(path)).already)
        except Busy:
            results.append("busy")

    threads = [threading.Thread(target=go, args=(c,)) for c in (connection, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) in (["False", "True"], ["False", "busy"])
    assert changed(connection, 1) == 3
    assert len(journal.list_runs(connection)) == 1


def test_while_another_repair_runs_nobody_else_starts(connection, other):
    incident(connection)
    plan = planned(connection)
    with other.transaction():
        scalar(other, "select pg_try_advisory_xact_lock(%s)", REPAIR)
        with pytest.raises(Busy, match="another repair"):
            apply_plan(connection, plan)
        with connection.transaction(), pytest.raises(Busy, match="another repair"):
            apply_plan(connection, plan)
    assert apply_plan(connection, plan).rows == 3


def test_a_plan_is_made_once(connection):
    incident(connection)
    plan = planned(connection)
    assert apply_plan(connection, plan).run == 1
    before = whole(connection)
    again = apply_plan(connection, plan)
    assert (again.run, again.already, again.rows) == (1, True, 3)
    assert whole(connection) == before
    undo_run(connection, 1)
    with pytest.raises(Refused, match="made in run 1 and undone in run 2"):
        apply_plan(connection, plan)


@pytest.mark.usefixtures("small_batches")
def test_a_large_plan_goes_on_where_it_was_interrupted(connection, path):
    heir = orphans(connection, 45)
    saved(connection, path, options=ALLOW)

    def stop(done, _):
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply_plan(connection, read_plan(path), progress=stop)
    assert changed(connection, 1) == 20
    assert not journal.get_run(connection, 1)["finished"]
    made = apply_plan(connection, read_plan(path))
    assert (made.run, made.rows, made.resumed) == (1, 46, 20)
    assert journal.get_run(connection, 1)["finished"]
    steps = [c["step"] for c in journal.list_changes(connection, 1)]
    assert steps == list(range(1, 47))
    models = table(connection, "chat_model_configs")
    assert [m["id"] for m in models if m["is_default"] and not m["deleted"]] == [heir]


@pytest.mark.usefixtures("small_batches")
def test_no_batch_ends_without_a_default(connection, other):
    orphans(connection, 40)
    plan = planned(connection, options=ALLOW)
    seen = []

    def look(*_):
        seen.append(
            scalar(
                other,
                "select count(*) from chat_model_configs where is_default and not deleted",
            )
        )

    apply_plan(connection, plan, progress=look)
    assert len(seen) > 2
    assert set(seen) == {1}


# -- the journal and undo ---------------------------------------------------------------


def test_the_journal_says_who_did_what_to_which_row(connection):
    heir, orphan, _ = incident(connection)
    plan = planned(connection, "model_without_provider")
    apply_plan(connection, plan, actor="ann")
    [run] = journal.list_runs(connection)
    assert (run["actor"], run["kind"], run["plan"]) == ("ann", "repair", plan.id)
    assert (run["rows"], run["undone_by"]) == (2, None)
    assert run["role"] == scalar(connection, "select current_user")
    assert run["options"]["digest"] == plan.digest
    first, second = journal.list_changes(connection, 1)
    assert first["check"] == "model_without_provider"
    assert first["key"] == {"id": str(orphan)}
    assert (first["before"]["deleted"], first["after"]["deleted"]) == (False, True)
    now = {c["after"]["updated_at"] for c in (first, second)}
    assert now == {first["after"]["deleted_at"]}
    assert second["key"] == {"id": str(heir)}


def test_undo_puts_every_row_back_and_can_be_undone(connection):
    incident(connection)
    before = whole(connection)
    apply_plan(connection, planned(connection))
    after = whole(connection)
    undone = undo_run(connection, 1, actor="ann")
    assert (undone.run, undone.rows, undone.left) == (2, 3, [])
    assert whole(connection) == before
    assert journal.get_run(connection, 1)["undone_by"] == 2
    assert undo_run(connection, 2).rows == 3
    assert whole(connection) == after
    with pytest.raises(Refused, match="run 1 was undone by run 2, and run 3") as error:
        undo_run(connection, 1)
    assert error.value.hint == "sexton undo 3"
    undo_run(connection, 3)
    assert whole(connection) == before


def test_undo_leaves_alone_what_moved_since(connection):
    _, orphan, half = incident(connection)
    apply_plan(connection, planned(connection))
    connection.execute(
        "update chat_model_configs set display_name = 'x', updated_at = now() "
        "where id = %s",
        (orphan,),
    )
    undone = undo_run(connection, 1)
    assert undone.rows == 2
    assert undone.left == [
        {
            "table": "chat_model_configs",
            "key": {"id": str(orphan)},
            "reason": "it is not as the run left it",
        }
    ]
    found = {row["id"]: row for row in table(connection, "chat_model_configs")}
    assert found[orphan]["display_name"] == "x"
    assert found[half]["deleted_at"] is None


def test_undo_leaves_alone_what_is_in_the_way_of_another_row(connection):
    heir, orphan, _ = incident(connection)
    apply_plan(connection, planned(connection))
    # The heir was touched, so it stays the default, and there can be only one.
    connection.execute(
        "update chat_model_configs set updated_at = now() where id = %s", (heir,)
    )
    undone = undo_run(connection, 1)
    assert undone.rows == 1
    reasons = {row["key"]["id"]: row["reason"] for row in undone.left}
    assert reasons[str(heir)] == "it is not as the run left it"
    assert "idx_chat_model_configs_single_default" in reasons[str(orphan)]


def test_an_undo_of_nothing_is_refused(connection):
    incident(connection)
    with pytest.raises(NotFound, match="no run 7"):
        undo_run(connection, 7)
    apply_plan(connection, planned(connection))
    connection.execute(
        "update chat_model_configs set updated_at = now(), deleted_at = now()"
    )
    before = whole(connection)
    with pytest.raises(Refused, match="none of the 3 rows"):
        undo_run(connection, 1)
    assert whole(connection) == before
    assert len(journal.list_runs(connection)) == 1


@pytest.mark.usefixtures("small_batches")
def test_a_large_undo_goes_on_where_it_was_interrupted(connection):
    orphans(connection, 45)
    before = whole(connection)
    apply_plan(connection, planned(connection, options=ALLOW))

    def stop(done, _):
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        undo_run(connection, 1, progress=stop)
    with pytest.raises(Refused, match="was interrupted") as error:
        undo_run(connection, 2)
    assert error.value.hint == "finish it first: sexton undo 1"
    undone = undo_run(connection, 1)
    assert (undone.run, undone.rows, undone.left) == (2, 46, [])
    assert whole(connection) == before
    undo_run(connection, 2)
    assert len(rows(connection, "select from chat_model_configs where deleted")) == 45


# -- the command line ------------------------------------------------------------------


def test_the_commands_tell_the_whole_story(sexton, connection, path):
    incident(connection)
    result = sexton("repair", "--out", str(path))
    assert result.code == 1
    assert f"sexton apply {path}" in result.stdout
    result = sexton("apply", str(path), "--actor", "ann", "--format", "json")
    assert (result.code, result.json["run"], result.json["rows"]) == (0, 1, 3)
    assert "applied before, in run 1" in sexton("apply", str(path)).stdout
    assert sexton("repair").stdout == "nothing to repair\n"
    result = sexton("history", "--format", "json")
    [run] = result.json["runs"]
    assert (run["actor"], run["rows"], run["undone_by"]) == ("ann", 3, None)
    assert len(sexton("history", "1", "--format", "json").json["changes"]) == 3
    assert "by ann" in sexton("history", "1").stdout
    assert sexton("undo", "1").code == 0
    assert "undo" in sexton("history").stdout
    assert sexton("apply", str(path)).code == 5
    assert sexton("undo", "9").code == 2


def test_what_repair_prints_as_json_can_be_applied(sexton, connection, path):
    incident(connection)
    result = sexton("repair", "--format", "json")
    assert result.json["actions"][0]["check"] == "tombstone_half_set"
    path.write_text(result.stdout)
    assert sexton("apply", str(path)).code == 0
    assert sexton("repair", "--format", "json").code == 0


def test_repair_now_prints_the_plan_and_the_run(sexton, connection):
    incident(connection)
    result = sexton("repair", "--apply", "--format", "json")
    assert (result.code, result.json["applied"]["run"]) == (0, 1)
    assert len(result.json["actions"]) == 3


def test_a_guarded_plan_is_shown_but_not_saved(sexton, connection, path):
    orphans(connection, 20)
    result = sexton("repair")
    assert result.code == 1
    assert "safety limit: 21 of the 21 rows" in result.stdout
    result = sexton("repair", "--out", str(path))
    assert (result.code, path.exists()) == (5, False)
    assert "--max-fraction 1" in result.stderr
    assert sexton("repair", "--apply").code == 5
    result = sexton("repair", "--apply", "--max-fraction", "1")
    assert result.code == 0, result.stdout


def test_nothing_was_ever_done(sexton):
    assert "nothing was ever changed" in sexton("history").stdout
    assert sexton("history", "--format", "json").json == {"runs": []}
    assert sexton("history", "1").code == 2
    assert sexton("undo", "1").code == 2


def test_saving_and_making_at_once_is_a_mistake(sexton, path):
    assert sexton("repair", "--apply", "--out", str(path)).code == 2
    assert sexton("repair", "no_such_check").code == 2
    assert sexton("repair", "--unsafe", "no_such_check").code == 2


def test_every_repair_is_explained():
    for name, check in all_checks().items():
        if check.data_loss:
            assert "--unsafe" in check.explanation, name
