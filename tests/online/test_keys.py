"""A key is made beside the writers, and its orphans are seen to."""

import contextlib
import os
import signal

import psycopg
import pytest

from sexton.database import connect, rows, scalar
from sexton.ddl.row_changes import text_of
from sexton.ddl.row_loop import BATCH
from sexton.errors import Refused
from sexton.online.keys import create_key, key_of
from sexton.online.tables import Table
from tests.support.online import KEY, ORPHAN, SCHEMAS, operations, state

MANY = 2 * BATCH + 500
ORPHANS = f"""
    insert into shop."order lines"
    select i, 9, 'z' from generate_series(10, {MANY + 9}) i
"""
LEFT = """select count(*) from shop."order lines" where customer = 9"""


def make(url, orphans):
    with operations(url) as op:
        op.create_foreign_key_online(*KEY, **SCHEMAS, orphans=orphans)


@pytest.mark.parametrize(("orphans", "left"), [("null", 4), ("delete", 3)])
def test_orphans_are_seen_to(shop, orphans, left):
    url, connection = shop
    connection.execute(ORPHAN)
    with (
        pytest.raises(Refused, match="refer to no row"),
        operations(url) as op,
    ):
        op.create_foreign_key_online(*KEY, **SCHEMAS)
    assert not any("FOREIGN KEY" in part for part in state(connection))
    for _ in range(2):
        with operations(url) as op:
            op.create_foreign_key_online(*KEY, **SCHEMAS, orphans=orphans)
    assert any("FOREIGN KEY" in p and p.endswith("true") for p in state(connection))
    count = """select count(*) from shop."order lines" """
    assert scalar(connection, count) == left
    [change] = rows(connection, "select key, before, after from sexton.changes")
    assert change["key"] == {"id": 4}
    assert change["before"]["customer"] == 9
    assert (change["after"] is None) == (orphans == "delete")
    assert scalar(connection, count + "where customer is not null") == 2


def test_a_key_that_was_left_not_valid_is_validated(shop):
    url, connection = shop
    connection.execute("""
        alter table shop."order lines" add constraint "fk: lines"
        foreign key (customer) references shop."Customers" not valid
    """)
    with pytest.raises(Refused, match="another constraint"), operations(url) as op:
        op.create_foreign_key_online(*KEY, **SCHEMAS, ondelete="cascade")
    with operations(url) as op:
        op.create_foreign_key_online(*KEY, **SCHEMAS)
    assert any("FOREIGN KEY" in p and p.endswith("true") for p in state(connection))


def test_orphans_of_types_that_compare_differently_are_left_alone(shop):
    url, connection = shop
    connection.execute("""
        create table shop.codes (code char(3) primary key);
        create table shop.uses (code text);
        insert into shop.codes values ('a');
        insert into shop.uses values ('a  ')
    """)
    with pytest.raises(Refused, match="differ in type"), operations(url) as op:
        op.create_foreign_key_online(
            "fk", "uses", "codes", ["code"], ["code"], orphans="delete", **SCHEMAS
        )
    assert scalar(connection, "select count(*) from shop.uses") == 1


@pytest.mark.parametrize("orphans", ["null", "delete"])
def test_killed_between_two_batches_it_goes_on_with_the_rest(shop, orphans):
    url, connection = shop
    connection.execute(ORPHANS)
    with contextlib.closing(connect(url, name="holder")) as holder, holder.transaction():
        holder.execute(
            'select from shop."order lines" where id = %s for update', (BATCH + 50,)
        )
        if not (child := os.fork()):
            with contextlib.suppress(Exception):
                make(url, orphans)
            os._exit(1)
        while scalar(connection, LEFT) == MANY:
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert scalar(connection, LEFT) == MANY - BATCH
        # No new orphan can appear while the old ones are seen to.
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(ORPHAN)
    make(url, orphans)
    assert any("FOREIGN KEY" in p and p.endswith("true") for p in state(connection))
    assert scalar(connection, LEFT) == 0
    [found] = rows(
        connection,
        "select count(*) as rows, count(distinct key) as keys from sexton.changes",
    )
    assert (found["rows"], found["keys"]) == (MANY, MANY)
    runs = rows(connection, "select count(*) as rows from sexton.changes group by run")
    assert sorted(run["rows"] for run in runs) == [BATCH, MANY - BATCH]


@pytest.mark.parametrize("orphans", ["null", "delete"])
def test_a_script_sees_to_them_in_batches_too(shop, orphans):
    _, connection = shop
    connection.execute(ORPHANS)
    name, source, referent, *columns = KEY
    tables = (Table(source, "shop"), Table(referent, "shop"))
    for step in create_key(None, key_of(name, tables, columns, orphans=orphans)):
        for statement in step.statements():
            connection.execute(text_of(statement))
    assert any("FOREIGN KEY" in p and p.endswith("true") for p in state(connection))
    lines = """select count(distinct xmin::text) from shop."order lines" where id > 9"""
    assert scalar(connection, lines) == (3 if orphans == "null" else 0)


def test_columns_that_are_not_null_are_not_emptied(shop):
    url, connection = shop
    connection.execute(
        """delete from shop."order lines" where customer is null;
        alter table shop."order lines" alter customer set not null"""
    )
    make(url, "null")  # there is no orphan
    connection.execute('alter table shop."order lines" drop constraint "fk: lines"')
    connection.execute(ORPHAN)
    with pytest.raises(Refused, match="customer of order lines is NOT NULL"):
        make(url, "null")
    assert scalar(connection, LEFT) == 1
    assert (
        rows(connection, "select to_regclass('sexton.changes') as there")[0]["there"]
        is None
    )
