"""What foreign keys pass on when a revision deletes rows."""

import contextlib
import threading

import pytest

from sexton.database import connect, rows, scalar
from sexton.ddl.options import Options
from sexton.errors import Refused
from sexton.online.run_steps import Record
from tests.support.meddling import unmeddle
from tests.support.online import operations

TABLES = """
    create table customers (id int primary key);
    create table orders (id int primary key, customer_id int, memo text);
    create table lines (
        id int primary key, order_id int references orders on delete cascade, txt text
    );
    create table parts (
        id int primary key, line_id int references lines on delete cascade
    );
    create table notes (
        id int primary key, order_id int references orders on delete set null
    );
    insert into customers values (1), (2);
    insert into orders values (1, 99, 'x'), (2, 1, 'y');
    insert into lines values (1, 1, 'l1'), (2, 1, 'l2'), (3, 2, 'l3');
    insert into parts values (1, 1), (2, 3);
    insert into notes values (1, 1);
"""
KEY = ("orders_customer", "orders", "customers", ["customer_id"], ["id"])


@pytest.fixture
def world(empty_url, empty):
    empty.execute(TABLES)
    return empty_url, empty


def make(url, **options):
    with operations(url) as op:
        op.create_foreign_key_online(*KEY, **options)


def counts(connection):
    return {
        name: scalar(connection, f"select count(*) from {name}")
        for name in ("orders", "lines", "parts", "notes")
    }


def test_no_row_of_a_table_that_inherits_is_deleted(world):
    """The journal would keep the parent's columns alone."""
    url, connection = world
    connection.execute(
        "drop table lines, parts, notes cascade;"
        "create table heirs (more text) inherits (orders);"
        "insert into heirs values (7, 98, 'x', 'kept')"
    )
    with pytest.raises(Refused, match="tables inherit from orders"):
        make(url, orphans="delete", cascades=True)
    assert scalar(connection, "select more from heirs") == "kept"
    assert scalar(connection, "select count(*) from orders") == 3


def test_what_a_deletion_reaches_is_refused_and_named(world):
    url, connection = world
    before = counts(connection)
    with pytest.raises(Refused) as caught:
        make(url, orphans="delete")
    said = caught.value.message
    assert "would reach 2 rows of lines through the foreign key lines_order_id" in said
    assert "would reach 1 row of notes" in said
    assert "cascades=True" in said
    assert counts(connection) == before
    assert scalar(connection, "select order_id from notes") == 1


def test_where_it_is_allowed_each_row_is_in_the_journal(world):
    url, connection = world
    make(url, orphans="delete", cascades=True)
    assert counts(connection) == {"orders": 1, "lines": 1, "parts": 1, "notes": 1}
    assert scalar(connection, "select order_id from notes") is None
    found = rows(
        connection,
        "select table_name, key->>'id' as id, after is null as gone, before "
        "from sexton.changes order by step",
    )
    changed = [(row["table_name"], row["id"], row["gone"]) for row in found]
    assert sorted(changed) == [
        ("lines", "1", True),
        ("lines", "2", True),
        ("notes", "1", False),
        ("orders", "1", True),
        ("parts", "1", True),
    ]
    assert changed.index(("parts", "1", True)) < changed.index(("lines", "1", True))
    assert changed[-1] == ("orders", "1", True)


@pytest.mark.parametrize("action", ["no action", "restrict", "no action deferrable"])
def test_a_key_that_forbids_the_deletion_is_named_before_it(world, action):
    url, connection = world
    connection.execute("delete from lines where order_id = 1; delete from notes")
    how = "" if "deferrable" not in action else " deferrable initially deferred"
    connection.execute(
        "create table fees (id int primary key, order_id int references orders "
        f"on delete {action.removesuffix(' deferrable')}{how});"
        "insert into fees values (1, 1)"
    )
    with pytest.raises(Refused, match="1 row of fees through the foreign key fees_"):
        make(url, orphans="delete", cascades=True)
    connection.execute("delete from fees")
    make(url, orphans="delete")


def test_a_tree_in_the_table_itself_is_followed_and_a_circle_refused(world):
    url, connection = world
    connection.execute(
        """
        delete from lines where order_id = 1; delete from notes;
        alter table orders add parent int references orders on delete cascade;
        insert into orders values (3, 1, 'child', 1), (4, 1, 'grandchild', 3);
        """
    )
    with pytest.raises(Refused, match="1 row of orders through the foreign key"):
        make(url, orphans="delete")
    make(url, orphans="delete", cascades=True)
    assert [r["id"] for r in rows(connection, "select id from orders")] == [2]
    assert scalar(connection, "select count(*) from sexton.changes") == 3
    connection.execute(
        """
        alter table orders drop constraint orders_customer;
        insert into orders values (5, 99, 'a', null), (6, 1, 'b', 5);
        update orders set parent = 6 where id = 5
        """
    )
    with pytest.raises(Refused, match="in a circle"):
        make(url, orphans="delete", cascades=True)
    assert counts(connection)["orders"] == 3


def test_keys_to_a_partition_and_to_the_whole_count(world):
    url, connection = world
    connection.execute(
        """
        create table big (id int primary key, customer_id int) partition by list (id);
        create table part partition of big default;
        create table tails (big_id int references big on delete cascade);
        create table heads (big_id int references part on delete cascade);
        insert into big values (1, 99); insert into tails values (1);
        """
    )
    change = {
        "title": "delete",
        "lock": "row exclusive",
        "tables": ("part",),
        "sql": [{"delete": "part", "where": "this.customer_id = 99"}],
    }
    for table in ("tails", "heads"):
        with pytest.raises(Refused, match=f"1 row of {table}"), operations(url) as op:
            op.run_steps([change])
        connection.execute(
            "delete from tails; delete from heads; insert into heads values (1)"
        )


def test_steps_of_a_revision_are_asked_too(world):
    url, connection = world
    delete = {"delete": "orders", "where": "this.id = 1"}
    step = {"title": "delete", "lock": "row exclusive", "tables": ("orders",)}
    with pytest.raises(Refused, match="2 rows of lines"), operations(url) as op:
        op.run_steps([{**step, "sql": [delete]}])
    assert counts(connection)["lines"] == 3
    with operations(url) as op:
        op.run_steps([{**step, "sql": [{**delete, "cascades": True}]}])
    assert scalar(connection, "select count(*) from sexton.changes") == 5


def test_a_key_that_passes_an_update_on_is_asked(world):
    url, connection = world
    connection.execute(
        "create table pays (id int primary key, order_id int references orders "
        "on update cascade); insert into pays values (1, 2)"
    )
    change = {"update": "orders", "set": {"id": "this.id + 10"}, "where": "this.id = 2"}
    step = {"title": "move", "lock": "row exclusive", "tables": ("orders",)}
    with pytest.raises(Refused, match="1 row of pays"), operations(url) as op:
        op.run_steps([{**step, "sql": [change]}])
    assert scalar(connection, "select order_id from pays") == 2


def test_a_trigger_that_keeps_the_rows_is_named(world):
    url, connection = world
    connection.execute("delete from lines; delete from notes")
    connection.execute(
        """
        create function again() returns trigger language plpgsql
            as 'begin return null; end';
        create trigger keeps before delete on orders for each row execute function again()
        """
    )
    with pytest.raises(Refused, match="the trigger keeps on orders"):
        make(url, orphans="delete")
    unmeddle(connection)
    make(url, orphans="delete")
    assert counts(connection)["orders"] == 1


def test_a_row_that_somebody_holds_is_waited_for(world):
    url, connection = world
    said, done = threading.Event(), []

    def work():
        with operations(url) as op:
            options = Options(say=lambda _: said.set(), max_stall=0.05)
            op.migration_context.opts["sexton"] = (options, Record())
            op.create_foreign_key_online(*KEY, orphans="delete", cascades=True)
        done.append(True)

    with contextlib.closing(connect(url, name="holder")) as holder:
        with holder.transaction():
            holder.execute("select from lines where id = 2 for update")
            thread = threading.Thread(target=work)
            thread.start()
            assert said.wait(60)
        thread.join(60)
    assert done == [True]
    assert scalar(connection, "select count(*) from sexton.changes") == 5
