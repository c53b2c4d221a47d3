"""What a guard's tables and parts are called."""

import re

from sexton.guard.spec import MARKER, GuardSpec, Names
from sexton.guard.table import Table, named, names


def spec(**more):
    given = {"child": "invoices", "columns": ("customer_id",), "parent": "customers"}
    return GuardSpec(**{**given, "parent_columns": ("id",), **more})


def test_a_table_is_said_with_its_schema_where_that_is_known():
    assert named("shop.order") == Table("shop", "order", "shop.order")
    assert named("shop.order").sql == '"shop"."order"'
    assert named("invoices").sql == '"invoices"'
    assert named("invoices").regclass == "pg_catalog.to_regclass('invoices')"
    assert named("Order's").regclass == "pg_catalog.to_regclass('\"Order''s\"')"


LIVE = 'NULLIF((NOT "deleted"), false)'


def test_names_are_short_stable_and_apart():
    child, parent = Table("shop", "invoices", "invoices"), Table("shop", "customers", "c")
    made = names(spec(), child, parent, LIVE, "true")
    assert made.key.startswith("sexton_guard_invoices_customer_id_")
    moved = [Table("kiosk", t.name, t.called) for t in (child, parent)]
    assert names(spec(), *moved, LIVE, "true") == made, "a schema may be renamed"
    apart = names(spec(), moved[0], parent, LIVE, "true")
    assert apart != made
    long = names(spec(columns=("ä" * 60,)), Table("s", "T" * 63, "t"), parent, LIVE, LIVE)
    assert all(len(name.encode()) <= 63 for name in vars(long).values())
    assert all(re.search(MARKER, name) for name in (made.live, made.target))


def test_guards_of_one_table_and_condition_share_a_marker():
    child, parent = Table("shop", "invoices", "invoices"), Table("shop", "customers", "c")
    made = names(spec(), child, parent, LIVE, "true")
    payer = names(spec(columns=("payer_id",)), child, parent, LIVE.replace('"', ""), "true")
    assert payer.key != made.key
    assert (payer.live, payer.target, payer.target_index) == (
        *(made.live, made.target, made.target_index),
    )
    other = names(spec(parent_columns=("no",)), child, parent, "true", LIVE)
    assert not {*vars(other).values()} & {*vars(made).values()}


def test_own_names_are_taken_as_they_are():
    own = Names(*"abcd")
    assert names(spec(names=own), named("a"), named("b"), LIVE, "true") is own
