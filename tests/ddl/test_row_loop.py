"""The loop in SQL changes all rows, some at a time, and ends."""

import contextlib

from psycopg.pq import ExecStatus

from sexton.database import connect, rows, scalar
from sexton.ddl.row_loop import BATCH, block, row_loop

LOOP = row_loop("t", "this.n = 0", "update t as this set n = 1")


def test_each_batch_is_a_transaction_of_its_own(table):
    _, connection = table
    connection.execute(LOOP)
    found = rows(connection, "select count(*) from t where n = 1 group by xmin::text")
    assert sorted(row["count"] for row in found) == [500 + 1, BATCH - 1, BATCH]


def test_rows_that_somebody_has_locked_are_left_to_the_next_round(table):
    url, connection = table
    with (
        contextlib.closing(connect(url, name="holder")) as holder,
        contextlib.closing(connect(url, name="loop")) as loop,
    ):
        holder.execute("begin; select from t where id = 3 for update")
        loop.pgconn.send_query(LOOP.encode())
        while scalar(connection, "select count(*) from t where n = 0") > 1:
            pass
        assert scalar(connection, "select id from t where n = 0") == 3
        holder.execute("commit")
        assert loop.pgconn.get_result().status == ExecStatus.COMMAND_OK
    assert scalar(connection, "select count(*) from t where n = 0") == 0


def test_rows_that_a_trigger_keeps_do_not_keep_it_for_ever(table):
    _, connection = table
    connection.execute("""
        create function keep() returns trigger language plpgsql as
            $$ begin new.n := old.n; return new; end $$;
        create trigger keep before update on t for each row when (old.id < 9)
            execute function keep()
    """)
    connection.execute(LOOP)
    assert scalar(connection, "select count(*) from t where n = 0") == 8


def test_no_name_closes_the_quotes(table):
    _, connection = table
    connection.execute(block("""begin perform 1 as "$do$"; end"""))


def test_columns_may_be_called_as_its_own_variables_are(table):
    """A bare name in a condition or a value is always the column's."""
    _, connection = table
    names = (
        "batch locked written seen most sexton_loop number at part free numbered this found"
    )
    columns = ", ".join(f'"{name}" int default 0' for name in names.split())
    connection.execute(f"create table named ({columns})")
    connection.execute("insert into named select from generate_series(1, 1500)")
    for name in names.split():
        others = " + ".join(f'"{other}"' for other in names.split())
        connection.execute(
            row_loop(
                "named",
                f'"{name}" = 0',
                f'update named as this set "{name}" = 1 + 0 * ({others})',
            )
        )
        left = f'select count(*) from named where "{name}" = 0'
        assert scalar(connection, left) == 0, name
