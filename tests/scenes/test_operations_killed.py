"""Killed after any statement, each operation run again ends where it would have ended."""

import contextlib

import psycopg
import pytest
import sqlalchemy as sa

import sexton.alembic  # noqa: F401 - registers the operations
from sexton.database import connect, rows
from tests.support.killing import SELDOM, kill_process, kill_session, lived_through
from tests.support.online import operations

ANEW = """
    drop schema public cascade;
    create schema public;
    create table customers (id bigint primary key, name text);
    create table invoices (id bigint primary key, customer_id bigint, note text);
    insert into customers values (1, 'Ada'), (2, 'Bob');
    insert into invoices values (1, 1, 'x'), (2, null, 'y'), (3, 2, null);
"""
ORPHAN = "insert into invoices values (4, 9, 'z')"
KEY = ("k", "invoices", "customers", ["customer_id"], ["id"])
GUARD = ("invoices.customer_id", "customers.id")
# What is prepared besides, the way there, and the way back.
CASES = {
    "key": (
        "",
        lambda op: op.create_foreign_key_online(*KEY, ondelete="CASCADE"),
        lambda op: op.drop_constraint_online("k", "invoices", if_exists=True),
    ),
    "key, orphans emptied": (
        ORPHAN,
        lambda op: op.create_foreign_key_online(*KEY, orphans="null"),
        lambda op: op.drop_constraint_online("k", "invoices", if_exists=True),
    ),
    "key, orphans deleted": (
        ORPHAN,
        lambda op: op.create_foreign_key_online(*KEY, orphans="delete"),
        lambda op: op.drop_constraint_online("k", "invoices", if_exists=True),
    ),
    "index": (
        "",
        lambda op: op.create_index_online("i", "invoices", ["note"], unique=True),
        lambda op: op.drop_index_online("i", "invoices", if_exists=True),
    ),
    "unique": (
        "",
        lambda op: op.create_unique_online("u", "invoices", ["note", "customer_id"]),
        lambda op: op.drop_constraint_online("u", "invoices", if_exists=True),
    ),
    "unique, among some": (
        "",
        lambda op: op.create_unique_online(
            "u", "invoices", ["lower(note)"], among="customer_id is not null"
        ),
        lambda op: op.drop_index_online("u", "invoices", if_exists=True),
    ),
    "column": (
        "",
        lambda op: op.add_column_online(
            "invoices",
            sa.Column("paid", sa.Boolean, nullable=False, server_default=sa.text("false")),
        ),
        lambda op: op.drop_column_online("invoices", "paid", if_exists=True),
    ),
    "not null": (
        "",
        lambda op: op.set_not_null_online("customers", "name"),
        lambda op: op.drop_not_null_online("customers", "name"),
    ),
    "soft delete": (
        "",
        lambda op: op.add_soft_delete("customers"),
        lambda op: op.drop_soft_delete("customers"),
    ),
    "guard": (
        "",
        lambda op: op.add_guard(*GUARD, live="note is not null", parent_live="name <> ''"),
        lambda op: op.drop_guard(*GUARD, live="note is not null", parent_live="name <> ''"),
    ),
}
STATE = """
    select c.relname || '.' || a.attname || ' ' || a.atttypid::regtype || a.attnotnull
           || coalesce(pg_get_expr(d.adbin, d.adrelid), '') as part
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
    union all
    select conname || pg_get_constraintdef(oid) || convalidated from pg_constraint
    where connamespace = 'public'::regnamespace
    union all
    select pg_get_indexdef(indexrelid) || indisvalid
    from pg_index join pg_class on oid = indexrelid
    where relnamespace = 'public'::regnamespace
    union all
    select tgname || pg_get_triggerdef(oid) || tgenabled::text from pg_trigger
    where not tgisinternal
    union all
    select pg_get_functiondef(oid) from pg_proc
    where pronamespace = 'public'::regnamespace
    union all
    select 'customers' || to_jsonb(c)::text from customers c
    union all
    select 'invoices' || to_jsonb(i)::text from invoices i
    order by 1
"""


def change(url, work):
    """Do it as a revision does, in a transaction of Alembic's."""
    try:
        with operations(url) as op:
            work(op)
    except sa.exc.SQLAlchemyError as error:  # of a session that was ended
        raise psycopg.OperationalError(str(error)) from None


@pytest.mark.parametrize("kill", [kill_process, kill_session])
@pytest.mark.parametrize("case", CASES)
def test_killed_after_any_statement_it_converges(database, case, kill):
    prepared, there, back = CASES[case]
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:

        def state():
            return [row["part"] for row in rows(connection, STATE)]

        def anew():
            connection.execute(ANEW + prepared)

        anew()
        low = state()
        change(url, there)
        high = state()
        change(url, back)
        assert high != low
        wanted = [(there, high), (back, state())]
        # Each begins at another statement, so that all of them together see many.
        first = 3 * list(CASES).index(case) + 11 * (kill is kill_session)
        statement, lived = 1 - SELDOM + first % SELDOM, False
        while not lived:
            statement += SELDOM
            anew()
            lived = True
            for work, end in wanted:
                alone = lived_through(
                    url, lambda _, work=work: change(url, work), statement, kill
                )
                lived = lived and alone
                change(url, work)
                assert state() == end, statement
        assert statement > SELDOM
