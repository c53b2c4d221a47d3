"""Rows that a step changes beside the others are committed batch by batch."""

import contextlib
import threading

import pytest

from sexton import journal
from sexton.database import connect, rows, scalar
from sexton.ddl import execution
from sexton.ddl.options import Options
from sexton.ddl.row_changes import RowChange
from sexton.ddl.row_loop import BATCH
from sexton.ddl.steps import Step
from sexton.errors import Busy
from tests.support.batches import FULL

STEP = Step(
    "count",
    lock="row exclusive",
    tables=("t",),
    done="select not exists (select from t where n = 0)",
    outside_transaction=True,
    sql=(RowChange("update", "t", "this.n = 0", {"n": "1"}, batched=True),),
)


def connect_like(connection):
    return connect(connection.info.dsn, name="step")


def test_rows_of_other_batches_are_free_while_one_is_waited_for(table):
    url, connection = table
    said: list[str] = []
    with (
        contextlib.closing(connect(url, name="holder")) as holder,
        contextlib.closing(connect(url, name="step")) as working,
    ):
        options = Options(max_stall=0.05, say=said.append)
        thread = threading.Thread(target=execution.run, args=(working, [STEP], options))
        with holder.transaction():
            holder.execute("select from t where id = %s for update", (BATCH + 7,))
            thread.start()
            while not said:
                assert thread.is_alive()
            # Of the first batch, of the one that waits, and of the last.
            connection.execute("set lock_timeout = '5s'")
            for id in (1, BATCH + 1, FULL):
                connection.execute("update t set by = 'us' where id = %s", (id,))
            assert scalar(connection, "select count(*) from t where n = 1") == BATCH
        thread.join()
    assert said == ["waiting for others who have locked rows of t"]
    assert scalar(connection, "select count(*) from t where n = 1") == FULL
    assert scalar(connection, "select count(*) from t where by = 'us'") == 3
    [run] = journal.list_runs(connection)
    assert (run["rows"], run["finished"]) == (FULL, True)
    keys = "select count(distinct key) from sexton.changes"
    assert scalar(connection, keys) == FULL
    assert scalar(connection, "select count(distinct txid) from sexton.changes") == 3


def test_what_was_committed_before_a_failure_stays_and_is_said(table):
    _, connection = table
    with connection.transaction(), contextlib.closing(connect_like(connection)) as other:
        connection.execute("select from t where id = %s for update", (BATCH + 7,))
        with pytest.raises(Busy, match="1,000 of 2,500 rows") as caught:
            execution.run(other, [STEP], Options(max_stall=0.05, deadline=0.4))
    assert caught.value.__notes__ == [
        "1,000 of 2,500 rows of it are committed, and stay",
        'the step "count" was not done',
    ]
    assert scalar(connection, "select count(*) from t where n = 1") == BATCH
    execution.run(connection, [STEP])
    runs = journal.list_runs(connection)
    assert [run["rows"] for run in runs] == [FULL - BATCH, BATCH]


def test_where_the_journal_cannot_have_them_that_is_said_once(table):
    _, connection = table
    connection.execute("alter table t drop constraint t_pkey")
    said: list[str] = []
    execution.run(connection, [STEP], Options(say=said.append))
    assert said == [
        'the rows of the step "count" are not in the journal: t has no primary key'
    ]
    assert rows(connection, "select distinct n from t") == [{"n": 1}]


def test_no_row_goes_by_the_journal_because_it_was_late(table):
    _, connection = table
    with connection.transaction():
        journal.require_journal(connection)
    connection.execute("""
        create function public.dawdle() returns trigger language plpgsql as
            $$ begin perform pg_catalog.pg_sleep(4); return new; end $$;
        create trigger dawdle before insert on sexton.runs
            for each row execute function public.dawdle()
    """)
    said: list[str] = []
    with pytest.raises(Busy, match="did not end within 200 ms"):
        execution.run(connection, [STEP], Options(deadline=0.2, say=said.append))
    assert said == []
    assert scalar(connection, "select count(*) from t where n = 1") == 0
