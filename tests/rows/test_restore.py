"""Restoring what a deletion deleted, and only that."""

import contextlib

import pytest

import sexton.rows
from sexton import journal
from sexton import project as projects
from sexton.database import connect, rows, scalar
from sexton.errors import NotFound, Refused, UsageError
from sexton.repair import changes
from sexton.repair.undo import prepare
from tests.rows.conftest import refer
from tests.rows.test_delete import FILE, connection, shop, url, whole
from tests.support.tools import Cli

__all__ = ["connection", "shop", "url"]


def without_times(connection):
    """Every row, without the times at which it was changed."""
    connection.execute("update invoices set updated_at = null")
    return whole(connection)


def test_it_is_as_it_was(connection, shop):
    before = without_times(connection)
    declared = shop()
    done = sexton.rows.delete(connection, "customers", 1, project=declared)
    seen = sexton.rows.restore(connection, run=done.run, project=declared, preview=True)
    assert seen.run is None
    back = sexton.rows.restore(connection, run=done.run, project=declared)
    assert back.document.changes == seen.document.changes
    assert back.document.left == []
    assert without_times(connection) == before
    with pytest.raises(UsageError, match=f"was undone by run {back.run}"):
        sexton.rows.restore(connection, run=done.run, project=declared)


def test_rows_that_were_deleted_before_stay_deleted(connection, shop):
    declared = shop()
    sexton.rows.delete(connection, "lines", 2, project=declared)
    before = without_times(connection)
    sexton.rows.delete(connection, "customers", 1, project=declared)
    sexton.rows.restore(connection, "customers", 1, project=declared)
    assert without_times(connection) == before


def test_a_row_that_was_changed_since_refuses_it_or_is_left(connection, shop):
    declared = shop()
    done = sexton.rows.delete(connection, "customers", 1, project=declared)
    connection.execute("update lines set up = null where id = 2")
    connection.execute("insert into scraps values (3, 6)")
    before = whole(connection)
    with pytest.raises(
        Refused, match="lines 2 cannot be restored: it is not as"
    ) as refused:
        sexton.rows.restore(connection, run=done.run, project=declared)
    assert refused.value.code == 5
    assert "scraps 3 cannot be restored: it is not as" in refused.value.message
    assert "nothing was changed" in refused.value.message
    assert whole(connection) == before
    back = sexton.rows.restore(connection, run=done.run, partial=True, project=declared)
    assert {(left.table, left.key["id"]) for left in back.document.left} == {
        ("lines", 2),
        ("scraps", 3),
        # 3 hangs on 2, and 4 on 3, and 1 on 4.
        ("lines", 3),
        ("lines", 4),
        ("lines", 1),
        ("scraps", 1),
    }
    assert scalar(connection, "select deleted from customers where id = 1") is False


def test_a_parent_that_is_not_live_refuses_it(connection, shop):
    declared = shop()
    child = sexton.rows.delete(connection, "invoices", (1, "x"), project=declared)
    sexton.rows.delete(connection, "customers", 1, project=declared)
    with pytest.raises(Refused, match="customer_id refers to customers, which"):
        sexton.rows.restore(connection, run=child.run, project=declared)
    sexton.rows.restore(connection, "customers", 1, project=declared)
    sexton.rows.restore(connection, run=child.run, project=declared)


def test_a_live_twin_refuses_it(connection, shop):
    connection.execute("create unique index one_name on customers (name) where not deleted")
    declared = shop()
    done = sexton.rows.delete(connection, "customers", 2, project=declared)
    connection.execute("insert into customers values (9, 'b')")
    with pytest.raises(Refused, match="customers 2 cannot be restored: duplicate key"):
        sexton.rows.restore(connection, run=done.run, project=declared)


def test_a_default_comes_back_unless_it_moved(connection, shop):
    declared = shop()
    done = sexton.rows.delete(connection, "addresses", 1, project=declared)
    back = sexton.rows.restore(connection, run=done.run, project=declared)
    [changed] = back.document.defaults
    assert (changed.before, changed.after) == ({"id": 3}, {"id": 1})
    flags = "select id from addresses where is_default and customer_id = 1"
    assert rows(connection, flags) == [{"id": 1}]

    done = sexton.rows.delete(connection, "addresses", 1, project=declared)
    connection.execute("update addresses set is_default = false where id = 3")
    connection.execute("update addresses set is_default = true where id = 2")
    back = sexton.rows.restore(connection, run=done.run, project=declared)
    [changed] = back.document.defaults
    assert (changed.before, changed.after) == ({"id": 2}, {"id": 2})
    assert rows(connection, flags) == [{"id": 2}]
    assert scalar(connection, "select deleted from addresses where id = 1") is False


def test_a_flag_that_deleted_rows_keep_comes_back_with_the_row(connection, shop):
    connection.execute(
        "drop index addresses_customer_id_idx; "
        "create unique index on addresses (customer_id) where is_default and not deleted"
    )
    declared = shop(FILE + "flag_on_deleted = true\n")
    done = sexton.rows.delete(connection, "addresses", 1, project=declared)
    flags = "select id from addresses where is_default and customer_id = 1 order by id"
    assert rows(connection, flags) == [{"id": 1}, {"id": 3}]
    back = sexton.rows.restore(connection, run=done.run, project=declared)
    assert rows(connection, flags) == [{"id": 1}]
    [change] = back.document.changes
    assert change.keys == [{"id": 1}]


def test_what_no_deletion_deleted_is_not_found(connection, shop):
    declared = shop()
    with pytest.raises(NotFound, match="customers 3 was deleted by no `sexton delete`"):
        sexton.rows.restore(connection, "customers", 3, project=declared)
    with pytest.raises(NotFound, match="customers 1 is not deleted"):
        sexton.rows.restore(connection, "customers", 1, project=declared)
    done = sexton.rows.delete(connection, "notes", 1, 2, project=declared)
    with pytest.raises(Refused, match="together with notes 1, 2") as refused:
        sexton.rows.restore(connection, "notes", 1, project=declared)
    assert refused.value.hint == f"to restore all of it: sexton restore --run {done.run}"
    sexton.rows.restore(connection, run=done.run, project=declared)
    assert scalar(connection, "select count(*) from notes") == 2


def test_undo_reverts_a_deletion_as_well(url, connection, shop, capfd, tmp_path):
    before = without_times(connection)
    done = sexton.rows.delete(connection, "customers", 1, project=shop())
    undone = Cli(url, capfd)(
        *("undo", str(done.run), "--yes", "--config", str(tmp_path / "sexton.toml"))
    )
    assert undone.code == 0, undone.stderr
    assert without_times(connection) == before


def test_it_is_undone_with_the_callers_transaction(url, shop):
    declared = shop()
    with contextlib.closing(connect(url, name="tests")) as connection:
        done = sexton.rows.delete(connection, "customers", 1, project=declared)
        before = whole(connection)
        with connection.transaction(force_rollback=True):
            sexton.rows.restore(connection, run=done.run, project=declared)
        assert whole(connection) == before


def test_many_rows_are_inserted_without_a_loop_in_a_loop(world):
    connection, declared = world(
        """
        create table node (id int primary key, parent int references node);
        create index on node (parent);
        insert into node
        select n, case when n > 1 then 1 + (n - 2) / 10 end from generate_series(1, 500) n
        """,
        refer("node.parent", "node.id", "delete"),
    )
    run = sexton.rows.delete(connection, "node", 1, project=declared).run
    with projects.using(declared), connection.transaction():
        undone = journal.get_run(connection, run)
        known = prepare(connection, undone)
        [[block]] = known.batches(lambda: 1000, 0)
        plan = connection.execute(
            "explain " + changes._statement(block, journalled=True),
            {**block.parameters, "run": run, "check": None},
        )
        assert "Nested Loop" not in str(plan.fetchall())
    restored = sexton.rows.restore(connection, run=run, project=declared)
    assert [change.count for change in restored.document.changes] == [500]
