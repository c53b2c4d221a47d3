"""Where a guard's tables and columns are, and what can have none."""

import psycopg
import pytest

from sexton.database import scalar
from sexton.errors import Refused, WrongSchema
from sexton.guard import change
from sexton.guard.binding import bind, immutable
from sexton.guard.spec import GuardSpec
from sexton.guard.status import status
from tests.support.guards import everything_of_ours
from tests.support.worlds_of_guards import PLAIN, spec


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("a view", "create view x as select * from invoices"),
        ("a materialized view", "create materialized view x as select * from invoices"),
        ("it inherits", "create table x () inherits (invoices)"),
        (
            "it is a partition",
            "create table y (like invoices) partition by list (state);"
            "create table x partition of y default",
        ),
    ],
)
def test_what_can_have_no_guard_is_refused_with_one_sentence(shop, kind, made):
    shop.execute(made)
    with pytest.raises(Refused, match=kind):
        change.add(shop, GuardSpec("x", ("customer_id",), "customers", ("id",)))
    shop.execute("create table z as select * from invoices")
    with pytest.raises(Refused, match=kind):
        change.add(shop, GuardSpec("z", ("customer_id",), "x", ("no",)))


def test_a_partitioned_parent_is_refused_and_a_partitioned_child_from_18_on_works(shop):
    shop.execute(
        """
        create table parts (customer_id bigint, kind text, deleted boolean
            not null default false) partition by list (kind);
        create table parts_a partition of parts for values in ('a');
        create table parts_b partition of parts default;
        insert into parts values
            (1, 'a', false), (1, 'b', false), (7, 'a', true), (7, 'b', true)
        """
    )
    over = GuardSpec("parts", ("customer_id",), "customers", ("id",))
    with pytest.raises(Refused, match="it is partitioned, and no unique index"):
        change.add(shop, GuardSpec("invoices", ("customer_id",), "parts", ("customer_id",)))
    if shop.info.server_version < 180000:
        with pytest.raises(Refused, match="before PostgreSQL 18"):
            change.add(shop, over)
        return
    change.add(shop, over)
    assert status(shop, over)["guard"] == "set"
    for kind in ("a", "b"):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            shop.execute("insert into parts values (9, %s)", (kind,))
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        shop.execute("delete from customers where id = 1")
    change.remove(shop, over)
    assert everything_of_ours(shop) == []


def test_types_that_no_key_compares_are_refused_before_the_first_step(shop):
    with pytest.raises(Refused, match=r"invoices.state is text and customers.id is bigint"):
        change.add(shop, GuardSpec("invoices", ("state",), "customers", ("id",)))
    assert everything_of_ours(shop) == []


def test_a_missing_table_or_column_is_said(shop):
    with pytest.raises(WrongSchema, match="no table nowhere"):
        bind(shop, GuardSpec("nowhere", ("a",), "customers", ("id",)))
    with pytest.raises(WrongSchema, match="invoices has no column custom"):
        bind(shop, GuardSpec("invoices", ("custom",), "customers", ("id",)))


def test_asking_leaves_nothing_in_the_callers_transaction(shop):
    before = scalar(shop, "show search_path")
    with shop.transaction():
        status(shop, spec(live="state = 'open'"))
        immutable(shop, bind(shop, spec(live="state = 'open'")))
        assert scalar(shop, "show search_path") == before
    assert PLAIN.spec.live == "not deleted"
