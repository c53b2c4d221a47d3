"""Applying a plan, the safety limits before it, the journal of it, and its undo."""

import threading

import pytest

from sexton import journal
from sexton.database import REPAIR, scalar
from sexton.errors import Busy, Refused
from sexton.repair.apply import apply_plan
from sexton.repair.planfile import read_plan
from sexton.repair.undo import undo_run
from tests.support.repairs import ALLOW, changed, incident, orphans, planned, saved, whole
from tests.support.tools import table

# -- refusals --------------------------------------------------------------------------


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


def test_a_repair_inside_the_callers_transaction_goes_with_it(connection):
    incident(connection)
    before = whole(connection)
    plan = planned(connection)
    with connection.transaction(force_rollback=True):
        assert apply_plan(connection, plan).rows == 3
    assert whole(connection) == before
    assert apply_plan(connection, plan).rows == 3


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


DECLARED = """
project = "shop"
[[reference]]
child = "invoices.customer_id"
parent = "customers.id"
parent_live = "{live}"
on_orphan = "{cure}"
"""


@pytest.mark.parametrize(
    ("live", "cure"), [("not closed", "null"), ("not deleted", "delete")]
)
def test_a_plan_of_a_check_that_was_declared_otherwise_is_refused(
    sexton, connection, tmp_path, live, cure
):
    connection.execute(
        "create table customers (id int primary key, deleted boolean, closed boolean);"
        "create table invoices (id int primary key, customer_id int);"
        "insert into customers values (1, true, false), (2, false, false);"
        "insert into invoices values (7, 1), (8, 2), (9, 2)"
    )
    project, plan = tmp_path / "sexton.toml", str(tmp_path / "plan.json")
    project.write_text(DECLARED.format(live="not deleted", cure="null"))
    options = ("--config", str(project))
    assert sexton("repair", "--out", plan, *options).code == 1
    project.write_text(DECLARED.format(live=live, cure=cure))
    result = sexton("apply", plan, "--yes", *options)
    assert result.code == 5
    assert "invoices_customer_id_dangling as it was declared then" in result.stderr
    rows = connection.execute("select customer_id from invoices order by id").fetchall()
    assert [row["customer_id"] for row in rows] == [1, 2, 2]
    project.write_text(DECLARED.format(live="not deleted", cure="null"))
    assert sexton("apply", plan, "--yes", *options).code == 0
