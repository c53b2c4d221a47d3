"""Deletions and restorations beside other writers, in both orders."""

import contextlib
import threading

import psycopg
import pytest

import sexton.rows
from sexton.database import connect, rows, scalar
from sexton.errors import Refused, SextonError, UsageError
from tests.rows.conftest import default, refer, soft

TABLES = """
    create table a (
        id int primary key, f boolean not null default false, deleted_at timestamptz
    );
    create table b (id int primary key, a int {key}, deleted_at timestamptz);
    insert into a values (1, true), (2, false), (3, false);
    insert into b values (1, 1), (2, 2);
"""
FILE = soft("a", "b") + refer("b.a", "a.id") + default("a", "f", elect=["id"])
FLAGGED = "select id from a where f"
DANGLING = """
    select count(*) from b join a on a.id = b.a
    where b.deleted_at is null and a.deleted_at is not null
"""


@contextlib.contextmanager
def transaction(connection):
    """Somebody's open transaction, committed once those beside it wait for it."""
    address = {"conninfo": connection.info.dsn, "password": connection.info.password}
    with contextlib.closing(psycopg.connect(**address)) as opened:
        opened.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        yield opened


def beside(held, watching, work):
    """What work returns or raises that meets an open transaction."""
    found = []

    def run():
        with contextlib.closing(connect(watching.info.dsn, name="tests")) as mine:
            try:
                found.append(work(mine))
            except (SextonError, psycopg.Error) as error:
                found.append(error)

    waiting = """
        select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
    """
    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and not scalar(watching, waiting):
        thread.join(0.01)
    held.commit()
    thread.join()
    return found[0]


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("first", ["restore", "delete"])
def test_a_restored_child_never_has_a_deleted_parent(world, first, level):
    connection, project = world(TABLES.format(key=""), FILE)
    [name] = rows(connection, "select quote_ident(current_database()) as name")
    connection.execute(
        f"alter database {name['name']} set default_transaction_isolation = '{level}'"
    )
    run = sexton.rows.delete(connection, "b", 1, project=project).run
    with transaction(connection) as held:
        if first == "restore":
            sexton.rows.restore(held, run=run, project=project)
            found = beside(
                held, connection, lambda c: sexton.rows.delete(c, "a", 1, project=project)
            )
            assert {change.table for change in found.document.changes} == {"a", "b"}
        else:
            sexton.rows.delete(held, "a", 1, project=project)
            found = beside(
                held, connection, lambda c: sexton.rows.restore(c, run=run, project=project)
            )
            assert isinstance(found, Refused)
    assert scalar(connection, DANGLING) == 0


@pytest.mark.parametrize("first", ["application", "sexton"])
def test_a_key_keeps_children_out_or_they_are_deleted_as_well(world, first):
    connection, project = world(TABLES.format(key="references a"), FILE)
    insert = "insert into b values (9, 1)"
    with transaction(connection) as held:
        if first == "application":
            held.execute(insert)
            beside(
                held, connection, lambda c: sexton.rows.delete(c, "a", 1, project=project)
            )
            assert scalar(connection, DANGLING) == 0
        else:
            sexton.rows.delete(held, "a", 1, project=project)
            beside(held, connection, lambda c: c.execute(insert))


def promote(connection):
    with connection.transaction():
        connection.execute("update a set f = false where f")
        connection.execute("update a set f = true where id = 3 and deleted_at is null")


@pytest.mark.parametrize("first", ["application", "sexton"])
def test_one_default_beside_an_applications_election(world, first):
    connection, project = world(TABLES.format(key=""), FILE)
    with transaction(connection) as held:
        if first == "application":
            promote(held)
            beside(
                held, connection, lambda c: sexton.rows.delete(c, "a", 1, project=project)
            )
        else:
            sexton.rows.delete(held, "a", 1, project=project)
            beside(held, connection, promote)
    assert rows(connection, FLAGGED) == [{"id": 3}]


@pytest.mark.parametrize("first", ["application", "sexton"])
def test_one_default_when_a_restoration_meets_an_election(world, first):
    connection, project = world(TABLES.format(key=""), FILE)
    run = sexton.rows.delete(connection, "a", 1, project=project).run
    with transaction(connection) as held:
        if first == "application":
            promote(held)
            beside(
                held, connection, lambda c: sexton.rows.restore(c, run=run, project=project)
            )
        else:
            sexton.rows.restore(held, run=run, project=project)
            beside(held, connection, promote)
    assert rows(connection, FLAGGED) == [{"id": 3}]


@pytest.mark.parametrize("first", ["application", "sexton"])
def test_a_twin_and_a_restoration_are_never_both_live(world, first):
    connection, project = world(
        """
        create table a (id int primary key, name text, deleted_at timestamptz);
        create unique index on a (name) where deleted_at is null;
        insert into a values (1, 'x');
        """,
        soft("a"),
    )
    run = sexton.rows.delete(connection, "a", 1, project=project).run
    insert = "insert into a values (2, 'x')"
    with transaction(connection) as held:
        if first == "application":
            held.execute(insert)
            found = beside(
                held, connection, lambda c: sexton.rows.restore(c, run=run, project=project)
            )
            assert isinstance(found, Refused)
        else:
            sexton.rows.restore(held, run=run, project=project)
            found = beside(held, connection, lambda c: c.execute(insert))
            assert isinstance(found, psycopg.errors.UniqueViolation)


def test_two_restorations_of_one_run_are_one(world):
    connection, project = world(TABLES.format(key=""), FILE)
    run = sexton.rows.delete(connection, "a", 1, project=project).run
    with transaction(connection) as held:
        sexton.rows.restore(held, run=run, project=project)
        found = beside(
            held,
            connection,
            lambda c: sexton.rows.restore(c, run=run, project=project, partial=True),
        )
    assert isinstance(found, UsageError | Refused)
    assert (
        scalar(connection, "select count(*) from sexton.runs where kind = 'restore'") == 1
    )


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_parent_and_its_child_are_each_deleted_once(world, order):
    connection, project = world(TABLES.format(key="references a"), FILE)
    with transaction(connection) as held:
        sexton.rows.delete(held, order[0], 1, project=project)
        found = beside(
            held, connection, lambda c: sexton.rows.delete(c, order[1], 1, project=project)
        )
    assert isinstance(found, UsageError) == (order == "ab")
    assert scalar(connection, "select count(*) from b where deleted_at is not null") == 1


def test_a_role_that_may_not_lock_the_parent_restores_its_child(world):
    connection, project = world(TABLES.format(key=""), FILE)
    run = sexton.rows.delete(connection, "b", 1, project=project).run
    connection.execute(
        """
        create role restorer;
        grant usage on schema sexton to restorer;
        grant all on all tables in schema sexton to restorer;
        grant all on b to restorer;
        grant select on a to restorer;
        set role restorer;
        """
    )
    try:
        sexton.rows.restore(connection, run=run, project=project)
    finally:
        connection.execute("reset role; drop owned by restorer; drop role restorer")
