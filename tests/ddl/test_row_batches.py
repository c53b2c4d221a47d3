"""Rows are read once and named by their key, whatever it is made of."""

import contextlib

import pytest

from sexton.catalog.tables import read_tables
from sexton.database import connect, scalar
from sexton.ddl.row_batches import batches
from sexton.ddl.row_changes import RowChange
from sexton.ddl.row_loop import BATCH

EMPTY = RowChange("update", "t", "this.n = 0", {"n": "1"}, batched=True)
NUMBERS = f"generate_series(1, {2 * BATCH + 5}) i"


@pytest.fixture(scope="module")
def session(template):
    """A session whose tables nobody else sees."""
    from tests.conftest import origin

    url = origin().url(template("empty"))
    with contextlib.closing(connect(url, name="tests")) as opened:
        opened.execute("""create type pg_temp."of x" as enum ('b"')""")
        opened.execute("""
            create function pg_temp.keep() returns trigger language plpgsql as
                $$ begin return null; end $$
        """)
        yield opened


@pytest.fixture
def connection(session):
    yield session
    session.execute("close all; drop table t")


def split(connection):
    table = read_tables(connection, ["t"])["t"]
    return batches(connection, table, EMPTY)


def sizes(connection):
    """How many rows each batch changes."""
    return [connection.execute(batch.change.sql).rowcount for batch in split(connection)]


def left(connection):
    return scalar(connection, "select count(*) from t where n = 0")


def test_no_batch_is_larger_than_the_bound(connection):
    connection.execute("create temp table t (id int primary key, n int)")
    connection.execute(f"insert into t select i, 0 from {NUMBERS}")
    assert sizes(connection) == [BATCH, BATCH, 5]
    assert left(connection) == 0


def test_the_first_of_the_key_comes_first(connection):
    connection.execute("create temp table t (id int primary key, n int)")
    connection.execute(f"insert into t select -i, 0 from {NUMBERS}")
    connection.execute(next(split(connection)).change.sql)
    assert scalar(connection, "select max(id) from t where n = 1") == -BATCH - 6


def test_a_row_that_is_written_after_it_was_read_is_changed_all_the_same(connection):
    connection.execute("create temp table t (id int primary key, n int)")
    connection.execute("insert into t values (1, 0), (2, 0), (3, 0)")
    found = []
    for batch in split(connection):
        connection.execute("update t set id = id where id = 1; delete from t where id = 2")
        connection.execute("update t set n = 2 where id = 3")
        found.append(connection.execute(batch.change.sql).rowcount)
    assert found == [1]


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("text", r"""{"a\"',%s $do$}"""),
        ("text", "NULL"),
        ("text", ""),
        ("bytea", r"\x5c00"),
        ("timestamptz", "2026-01-01 00:00:00.000001+05"),
        ("char(3)", "a"),
        ("numeric(30,10)", "0.1000000001"),
        ('pg_temp."of x"', 'b"'),
        ("int[]", "{1,2}"),
    ],
)
def test_any_value_of_a_key_names_its_row(connection, type, value):
    columns = f'"a ""%" {type}, b int, n int, primary key (b, "a ""%")'
    connection.execute(f"create temp table t ({columns})")
    connection.execute("insert into t values (%s, 1, 0), (%s, 2, 1)", (value, value))
    assert sizes(connection) == [1]
    assert left(connection) == 0


def test_a_table_without_a_key_is_read_until_no_row_is_left(connection):
    connection.execute("create temp table t (id int, n int) partition by hash (id)")
    for part in ("modulus 2, remainder 0", "modulus 2, remainder 1"):
        name = f"t{part[-1]}"
        connection.execute(
            f"create temp table {name} partition of t for values with ({part})"
        )
    connection.execute(f"insert into t select i, 0 from {NUMBERS}")
    rounds = set()
    for batch in split(connection):
        if not rounds:  # somebody else writes some rows, which then lie elsewhere
            connection.execute("update t set id = id where id < 9")
        rounds.add(batch.total)
        connection.execute(batch.change.sql)
    assert rounds == {2 * BATCH + 5, 8}
    assert left(connection) == 0


def test_rows_that_a_trigger_keeps_are_not_read_for_ever(connection):
    connection.execute("create temp table t (id int, n int)")
    connection.execute("insert into t values (1, 0), (2, 0)")
    connection.execute("""
        create trigger keep before update on t for each row execute function pg_temp.keep()
    """)
    assert sizes(connection) == [0]
