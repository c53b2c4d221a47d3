"""CHECK constraints, and backfills."""

import contextlib
import threading

import psycopg
import pytest

from sexton.database import connect, rows, scalar
from sexton.errors import Refused, UsageError
from sexton.online.python import statements
from sexton.online.row_operations import BackfillOnline, CreateCheckConstraintOnline
from tests.support.online import operations

TABLE = """
    create table items (id int primary key, price int, name text, doubled int);
    insert into items select n, n, 'x' from generate_series(1, 2500) n;
"""
POSITIVE = CreateCheckConstraintOnline("positive", "items", "price > 0")
DOUBLE = BackfillOnline("items", {"doubled": "price * 2"})


@pytest.fixture
def items(empty, empty_url):
    empty.execute(TABLE)
    return empty_url, empty


def test_a_check_is_added_validated_and_taken_back(items):
    url, connection = items
    constraints = "select pg_get_constraintdef(oid) from pg_constraint where conrelid > 0"
    before = rows(connection, constraints)
    assert statements([POSITIVE.reverse()]) == [
        'op.drop_constraint_online("positive", "items", type_="check")'
    ]
    for _ in range(2):
        with operations(url) as op:
            op.invoke(POSITIVE)
    query = "select convalidated from pg_constraint where conname = 'positive'"
    assert scalar(connection, query) is True
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("insert into items values (0, 0)")
    with operations(url) as op:
        op.invoke(POSITIVE.reverse())
    assert rows(connection, constraints) == before


def test_rows_that_violate_it_are_refused_before_anything_is_done(items):
    url, connection = items
    connection.execute("update items set price = 0 where id = 7")
    with (
        pytest.raises(Refused, match="rows of items violate positive"),
        operations(url) as op,
    ):
        op.invoke(POSITIVE)
    assert (
        scalar(connection, "select count(*) from pg_constraint where conname = 'positive'")
        == 0
    )
    connection.execute("update items set price = null where id = 7")
    with operations(url) as op:
        op.invoke(POSITIVE)


def test_a_killed_check_is_completed(items):
    url, connection = items
    connection.execute(
        "alter table items add constraint positive check (price > 0) not valid"
    )
    with operations(url) as op:
        op.invoke(POSITIVE)
    assert scalar(connection, "select bool_and(convalidated) from pg_constraint")


def test_a_backfill_changes_rows_in_batches_beside_writers(items):
    url, connection = items
    stopped, errors = threading.Event(), []

    def write():
        with contextlib.closing(connect(url, name="application")) as other:
            while not stopped.is_set():
                try:
                    other.execute("update items set price = price + 1 where id % 500 = 1")
                except psycopg.Error as error:
                    errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with operations(url) as op:
            op.invoke(BackfillOnline("items", {"doubled": "-price"}, "doubled is null"))
    finally:
        stopped.set()
        thread.join()
    assert errors == []
    assert scalar(connection, "select count(*) from items where doubled is null") == 0


def test_a_backfill_leaves_what_is_right_and_is_journalled(items):
    url, connection = items
    connection.execute("update items set doubled = price * 2 where id > 10")
    untouched = "select count(distinct xmin::text) from items where id > 10"
    before = scalar(connection, untouched)
    for _ in range(2):
        with operations(url) as op:
            op.invoke(DOUBLE)
    assert scalar(connection, "select count(*) from items where doubled <> price * 2") == 0
    assert scalar(connection, untouched) == before
    found = rows(connection, "select before, after from sexton.changes")
    assert len(found) == 10
    assert found[0]["before"]["doubled"] is None


@pytest.mark.parametrize(
    "operation",
    [
        BackfillOnline("items", {}),
        BackfillOnline("items", {"doubled": "1); drop table items; --"}),
        BackfillOnline("items", {"doubled": "1"}, "true) or (true"),
        CreateCheckConstraintOnline("c", "items", "price > 0) or (true"),
    ],
    ids=["nothing", "set", "where", "condition"],
)
def test_what_is_not_closed_is_refused(items, operation):
    url, connection = items
    with pytest.raises(UsageError), operations(url) as op:
        op.invoke(operation)
    assert scalar(connection, "select count(doubled) from items") == 0


def test_a_backfill_is_said_as_it_is_called():
    assert statements([DOUBLE]) == ['op.backfill_online("items", {"doubled": "price * 2"})']
    with pytest.raises(ValueError, match="sexton undo"):
        DOUBLE.reverse()
