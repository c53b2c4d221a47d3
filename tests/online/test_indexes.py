"""Half an index is dropped, and another is not."""

import contextlib

import psycopg
import pytest

from sexton.database import scalar
from sexton.errors import Refused, UsageError
from sexton.online.operations import CreateUniqueOnline
from sexton.online.python import statements
from tests.support.online import operations, state


def test_half_an_index_is_dropped_and_another_is_not(shop):
    url, connection = shop
    connection.execute("""insert into shop."order lines" values (5, 1, 'x')""")
    with contextlib.suppress(Exception):
        connection.execute(
            'create unique index concurrently "by {c}" on shop."order lines" (customer)'
        )
    assert any("by {c}" in part and part.endswith("false") for part in state(connection))
    with pytest.raises(Refused, match=r"another index by \{c\}"), operations(url) as op:
        op.create_index_online("by {c}", "order lines", ["note"], schema="shop")
    connection.execute("""delete from shop."order lines" where id = 5""")
    for _ in range(2):
        with operations(url) as op:
            op.create_index_online(
                "by {c}", "order lines", ["customer"], unique=True, schema="shop"
            )
    assert any("by {c}" in part and part.endswith("true") for part in state(connection))
    with pytest.raises(Refused, match="belongs to a constraint"), operations(url) as op:
        op.drop_index_online("Customers_pkey", "Customers", schema="shop")


def test_unique_among_some_rows_or_all(shop):
    url, connection = shop
    connection.execute(
        """
        alter table shop."Customers" add gone boolean not null default false,
            add "no %" int;
        insert into shop."Customers" (id, name, gone) values
            (11, 'Eve', false), (12, 'eve', true), (13, 'EVE', true);
        """
    )
    some = {"among": "not gone", "schema": "shop"}
    before = state(connection)
    with operations(url) as op:
        op.create_unique_online("live name", "Customers", ["lower(name)"], **some)
    there = state(connection)
    with operations(url) as op:
        op.create_unique_online("live name", "Customers", ["lower(name)"], **some)
    assert state(connection) == there != before
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("""update shop."Customers" set gone = false where id = 12""")
    # All rows have duplicates: refused before anything is built.
    with pytest.raises(Refused, match="rows of Customers have the same lower"):  # noqa: SIM117
        with operations(url) as op:
            op.create_unique_online("all", "Customers", ["lower(name)"], schema="shop")
    assert state(connection) == there
    with operations(url) as op:
        op.create_unique_online("k", "Customers", ['"no %"'], schema="shop")
    kind = "select contype from pg_constraint where conname = 'k'"
    assert scalar(connection, kind) == "u"
    with operations(url) as op:
        op.create_unique_online("k", "Customers", ['"no %"'], schema="shop")
        op.drop_constraint_online("k", "Customers", schema="shop")
        op.drop_index_online("live name", "Customers", schema="shop")
    assert state(connection) == before


def test_a_unique_key_of_no_sense_is_refused(shop):
    url, _ = shop
    for columns in ([], ["lower(name"], ["name) where (true"]):
        with pytest.raises(UsageError), operations(url) as op:
            op.create_unique_online("u", "Customers", columns, schema="shop")


def test_how_a_revision_writes_it():
    columns = ["a", '"b c"', "lower(x)"]
    some = CreateUniqueOnline("u", "t", columns, among="state = ':x'")
    assert statements([some]) == [
        'op.create_unique_online("u", "t", ["a", \'"b c"\', "lower(x)"], '
        """among="state = ':x'")"""
    ]
    constraint = CreateUniqueOnline("u", "t", ["a"]).reverse()
    assert statements([constraint]) == [
        'op.drop_constraint_online("u", "t", type_="unique", columns=["a"])'
    ]
