"""Deleting a row, its children to any depth, and the defaults that go with them."""

import contextlib
import threading

import psycopg
import pytest

import sexton.rows
from sexton import project as projects
from sexton.database import connect, rows, scalar
from sexton.errors import NotFound, Refused, UsageError

TABLES = """
    create table customers (
        id bigint primary key, name text not null,
        deleted boolean not null default false, deleted_at timestamptz
    );
    create table invoices (
        tenant int, no text, customer_id bigint, gone text not null default 'no',
        updated_at timestamptz, primary key (tenant, no)
    ) partition by list (tenant);
    create table invoices_1 partition of invoices for values in (1);
    create table invoices_2 partition of invoices default;
    create table lines (
        id bigint primary key, tenant int, no text, up bigint,
        deleted_at timestamptz
    );
    create table notes (id bigint primary key, customer_id bigint);
    create table scraps (id bigint primary key, line_id bigint);
    create table contracts (id bigint primary key, customer_id bigint);
    create table addresses (
        id bigint primary key, customer_id bigint, is_default boolean, place int,
        deleted boolean not null default false
    );
    create unique index on addresses (customer_id) where is_default;
    insert into customers values
        (1, 'a', false, null), (2, 'b', false, null), (3, 'c', true, now());
    insert into invoices values
        (1, 'x', 1, 'no'), (1, 'y', 1, 'yes'), (2, 'x', 1, 'no'), (2, 'z', 2, 'no');
    insert into lines values
        (1, 1, 'x', null), (2, null, null, 1), (3, null, null, 2), (4, null, null, 3),
        (5, 2, 'z', null), (6, null, null, 5);
    update lines set up = 4 where id = 1;  -- a circle
    insert into notes values (1, 1), (2, 2);
    insert into scraps values (1, 1), (2, 5), (3, 4);
    insert into contracts values (1, 1);
    insert into addresses values
        (1, 1, true, 3), (2, 1, false, 2), (3, 1, false, 1), (4, 2, true, 1);
"""
FILE = """
project = "shop"
[[soft_delete]]
table = "customers"
deleted = "deleted"
deleted_at = "deleted_at"
[[soft_delete]]
table = "invoices"
live = "gone = 'no'"
set = { gone = "gone || ' longer'" }
id = ["tenant", "no"]
[[soft_delete]]
table = "lines"
deleted_at = "deleted_at"
[[soft_delete]]
table = "addresses"
deleted = "deleted"
[[reference]]
child = "invoices.customer_id"
parent = "customers.id"
on_delete = "soft_delete"
[[reference]]
child = "lines(tenant, no)"
parent = "invoices(tenant, no)"
on_delete = "soft_delete"
[[reference]]
child = "lines.up"
parent = "lines.id"
on_delete = "soft_delete"
[[reference]]
child = "notes.customer_id"
parent = "customers.id"
on_delete = "null"
[[reference]]
child = "scraps.line_id"
parent = "lines.id"
on_delete = "delete"
[[reference]]
child = "contracts.customer_id"
parent = "customers.id"
on_delete = "keep"
[[reference]]
child = "addresses.customer_id"
parent = "customers.id"
on_delete = "soft_delete"
[[default]]
table = "addresses"
flag = "is_default"
per = ["customer_id"]
elect = ["place"]
"""


@pytest.fixture
def url(database):
    made = database("empty")
    with connect(made, name="tests") as connection:
        connection.execute(TABLES)
    return made


@pytest.fixture
def connection(url):
    with contextlib.closing(connect(url, name="tests")) as opened:
        yield opened


@pytest.fixture
def shop(tmp_path):
    file = tmp_path / "sexton.toml"

    def load(text=FILE):
        file.write_text(text)
        return projects.load(file)

    return load


def happened(result):
    return {
        (change.table, change.action): [tuple(key.values()) for key in change.keys]
        for change in result.document.changes
    }


EVERYTHING = {
    ("customers", "soft_delete"): [(1,)],
    ("invoices", "soft_delete"): [("x", 1), ("x", 2)],
    ("lines", "soft_delete"): [(1,), (2,), (3,), (4,)],
    ("notes", "null"): [(1,)],
    ("scraps", "delete"): [(1,), (3,)],
    ("addresses", "soft_delete"): [(1,), (2,), (3,)],
}


def whole(connection):
    """Every row of every table, as text."""
    return {
        name: rows(connection, f"select t::text as row from {name} t order by t::text")
        for name in (
            *("customers", "invoices", "lines", "notes", "scraps", "contracts"),
            "addresses",
        )
    }


def test_children_are_followed_to_any_depth_and_the_preview_is_the_result(connection, shop):
    before = whole(connection)
    seen = sexton.rows.delete(connection, "customers", 1, project=shop(), preview=True)
    assert whole(connection) == before
    assert seen.run is None
    assert seen.document.dry_run
    assert happened(seen) == EVERYTHING
    done = sexton.rows.delete(connection, "customers", 1, project=shop())
    assert happened(done) == EVERYTHING
    assert done.document.defaults == seen.document.defaults
    deleted = "select deleted and deleted_at <= now() from customers where id = 1"
    assert scalar(connection, deleted)
    assert scalar(connection, "select gone from invoices where no = 'x'") == "no longer"
    assert scalar(connection, "select bool_or(updated_at is not null) from invoices")
    assert rows(connection, "select id from scraps") == [{"id": 2}]
    assert rows(connection, "select customer_id as c from contracts") == [{"c": 1}]
    assert rows(connection, "select id from notes where customer_id is null") == [{"id": 1}]
    assert rows(
        connection, "select id from lines where deleted_at is null order by id"
    ) == [
        {"id": 5},
        {"id": 6},
    ]
    journalled = scalar(
        connection, "select count(*) from sexton.changes where run = %s", done.run
    )
    assert journalled == sum(len(keys) for keys in EVERYTHING.values())


def test_a_default_is_handed_on_within_its_group(connection, shop):
    done = sexton.rows.delete(connection, "addresses", 1, project=shop())
    [elected] = done.document.defaults
    assert (elected.group, elected.before, elected.after) == (
        {"customer_id": 1},
        {"id": 1},
        {"id": 3},
    )
    flags = rows(connection, "select id from addresses where is_default order by id")
    assert flags == [{"id": 3}, {"id": 4}]
    last = sexton.rows.delete(connection, "addresses", 2, 3, project=shop())
    [elected] = last.document.defaults
    assert (elected.before, elected.after) == ({"id": 3}, None)


def test_what_refers_to_the_row_and_may_not_go_refuses_the_deletion(connection, shop):
    text = FILE.replace('on_delete = "null"', 'on_delete = "refuse"')
    before = whole(connection)
    seen = sexton.rows.delete(connection, "customers", 1, project=shop(text), preview=True)
    [refusal] = seen.document.refused
    assert (refusal.table, refusal.keys) == ("notes", [{"id": 1}])
    with pytest.raises(Refused, match=r"1 rows of notes are left behind \(1\)") as refused:
        sexton.rows.delete(connection, "customers", 1, project=shop(text))
    assert refused.value.code == 5
    assert whole(connection) == before


def test_rows_that_undeclared_foreign_keys_would_take_refuse_the_deletion(connection, shop):
    connection.execute(
        """
        create table clippings (
            id int, scrap_id bigint references scraps on delete cascade
        );
        insert into clippings values (1, 3);
        """
    )
    with pytest.raises(Refused, match=r"clippings .*clippings_scrap_id_fkey"):
        sexton.rows.delete(connection, "customers", 1, project=shop())
    assert scalar(connection, "select count(*) from clippings") == 1


def test_unknown_and_deleted_rows_are_usage_errors(connection, shop):
    with pytest.raises(NotFound, match="customers has no row 9"):
        sexton.rows.delete(connection, "customers", 9, project=shop())
    with pytest.raises(UsageError, match=r"customers 3 was deleted at 20\d\d-"):
        sexton.rows.delete(connection, "customers", 3, project=shop())
    with pytest.raises(UsageError, match="invalid input syntax"):
        sexton.rows.delete(connection, "customers", "x' or true --", project=shop())
    with pytest.raises(UsageError, match="no table costumers; did you mean customers"):
        sexton.rows.delete(connection, "costumers", 1, project=shop())
    with pytest.raises(UsageError, match="2 values, and 1 were given"):
        sexton.rows.delete(connection, "invoices", 1, project=shop())
    done = sexton.rows.delete(connection, "invoices", (2, "z"), project=shop())
    assert happened(done)["invoices", "soft_delete"] == [("z", 2)]


def test_it_is_the_callers_transaction(connection, shop):
    before = whole(connection)
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path = public")
        sexton.rows.delete(connection, "customers", 1, project=shop())
        assert scalar(connection, "select current_setting('search_path')") == "public"
        assert whole(connection) != before
    assert whole(connection) == before
    declared = shop()
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        with pytest.raises(Refused, match="repeatable read"):
            sexton.rows.delete(connection, "customers", 1, project=declared)


def test_a_sqlalchemy_session_is_taken(url, shop):
    from psycopg import conninfo
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url
    from sqlalchemy.orm import Session

    given = conninfo.conninfo_to_dict(url)
    engine = create_engine(make_url("postgresql+psycopg://"), connect_args=given)
    with Session(engine) as session:
        done = sexton.rows.delete(session, "customers", 1, project=shop())
        assert done.run
        session.commit()
        assert session.execute(text("select deleted from customers where id = 1")).scalar()
    engine.dispose()


def test_a_trigger_that_keeps_a_row_refuses_the_whole(connection, shop):
    connection.execute(
        """
        create function keep() returns trigger language plpgsql as
            'begin return null; end';
        create trigger keep before update on lines for each row
            when (old.id = 3) execute function keep();
        """
    )
    before = whole(connection)
    with pytest.raises(Refused, match=r"1 rows of lines were not written \(3\)"):
        sexton.rows.delete(connection, "customers", 1, project=shop())
    assert whole(connection) == before


def test_two_deletions_of_one_row_are_one(url, shop):
    declared, barrier, found = shop(), threading.Barrier(2), []

    def work():
        with contextlib.closing(connect(url, name="tests")) as connection:
            barrier.wait()
            try:
                found.append(
                    sexton.rows.delete(connection, "customers", 1, project=declared).run
                )
            except UsageError as error:
                found.append(error.message)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [one for one in found if isinstance(one, int)]
    assert len(done) == 1
    [refused] = [one for one in found if isinstance(one, str)]
    assert "customers 1 was deleted at" in refused


def test_ten_thousand_descendants_take_a_statement_for_each_table_and_level(
    connection, shop
):
    connection.execute(
        """
        insert into lines (id, up)
        select n, case when n <= 1100 then 5 else 1001 + n % 100 end
        from generate_series(1001, 11000) n
        """
    )
    sent = []

    class Noting(psycopg.Cursor):
        def execute(self, query, *arguments, **options):
            sent.append(str(query))
            return super().execute(query, *arguments, **options)

    connection.cursor_factory = Noting
    done = sexton.rows.delete(connection, "lines", 5, project=shop())
    # 5; 6 and the first hundred; the other 9,900.
    assert len(happened(done)["lines", "soft_delete"]) == 10_002
    assert len([query for query in sent if "update " in query and "for " in query]) < 14
    assert len(sent) < 60
