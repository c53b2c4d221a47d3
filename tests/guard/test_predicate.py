"""Conditions: read by the server, and refused where no constraint can keep them."""

import contextlib
import os

import psycopg
import pytest

from sexton.database import connect, scalar
from sexton.errors import Refused, UsageError, WrongSchema
from sexton.guard import change
from sexton.guard.binding import bind, immutable
from sexton.guard.predicate import simple
from sexton.guard.spec import GuardSpec
from sexton.guard.status import status
from sexton.guard.table import named, names
from tests.support.guards import everything_of_ours
from tests.support.worlds_of_guards import CUSTOMERS, PLAIN


@pytest.fixture
def shop(database):
    with contextlib.closing(connect(database("empty"), name="tests")) as opened:
        opened.execute(
            CUSTOMERS
            + """
            alter table invoices add sent_at timestamptz, add day date,
                add twice text generated always as (state || state) stored;
            create view open_invoices as select * from invoices;
            create function evil() returns boolean immutable language plpgsql as
                $$begin raise exception 'evil'; end$$;
            """
        )
        yield opened


def spec(live: str = "not deleted", parent_live: str = "") -> GuardSpec:
    return GuardSpec(
        *("invoices", ("customer_id",), "customers", ("id",)),
        live=live,
        parent_live=parent_live,
    )


@pytest.mark.parametrize(
    ("live", "said"),
    [
        ("exists (select from customers)", "more than its own row"),
        ("customer_id in (select id from public.customers)", "more than its own row"),
        ("count(*) > 0", "more than the columns|no condition"),
        ("customer_id", "no condition over the columns"),
        ("sent_at < now()", "not immutable"),
        ("sent_at > day", "not immutable"),
        ("random() > customer_id", "volatile"),
        ("true", "no column"),
        ("invoices is not null", "no column|no condition"),
        ("twice = 'paidpaid'", "generated column"),
        ("not deleted); drop table invoices; --", "no condition"),
        ("not deleted) from invoices; drop table invoices; --", "no condition"),
        ("evil()", "no condition"),
        ("invoices.state = 'open'", "invoices"),
        ("nothing = 1", "nothing"),
        ("state = ", "no condition"),
    ],
)
def test_what_no_constraint_can_keep_is_refused_before_the_first_step(shop, live, said):
    with pytest.raises((Refused, WrongSchema), match=said):
        change.add(shop, spec(live=live))
    assert everything_of_ours(shop) == []
    assert scalar(shop, "select to_regclass('invoices') is not null")


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


def test_where_every_row_counts_a_plain_key_does():
    with pytest.raises(UsageError, match="a plain foreign key"):
        spec(live="")


def test_a_missing_table_or_column_is_said(shop):
    with pytest.raises(WrongSchema, match="no table nowhere"):
        bind(shop, GuardSpec("nowhere", ("a",), "customers", ("id",)))
    with pytest.raises(WrongSchema, match="invoices has no column custom"):
        bind(shop, GuardSpec("invoices", ("custom",), "customers", ("id",)))


@pytest.mark.parametrize(
    "condition", ["not deleted", "NOT Deleted", "sent_at is null", "day IS  not NULL"]
)
def test_simple_conditions_are_known_without_a_server(shop, condition):
    found = simple(condition)
    assert found
    read = bind(shop, spec(live=f"({condition}) and true")).child.mark
    assert read
    assert found.text.replace('"', "") == read.text.replace('"', "")
    assert found.new.replace('"', "") == read.new.replace('"', "")


def test_no_operator_or_function_of_others_is_meant(shop):
    """A better match in public, for a mark and for everything that asks about it."""
    shop.execute(
        """
        create type mood as enum ('open', 'paid');
        alter table invoices add mood mood not null default 'open';
        create function trap(mood, mood) returns boolean immutable language plpgsql as
            $$begin raise exception 'sprung'; end$$;
        create operator public.<> (leftarg = mood, rightarg = mood, function = trap);
        insert into invoices (customer_id, mood) values (9, 'paid')
        """
    )
    guarded = spec(live="mood <> 'paid'")
    change.add(shop, guarded)
    assert status(shop, guarded)["guard"] == "set"
    shop.execute("insert into invoices (customer_id, mood) values (9, 'paid')")
    shop.execute("update invoices set mood = 'open' where false")
    assert change.add(shop, guarded) == []


def test_asking_leaves_nothing_in_the_callers_transaction(shop):
    before = scalar(shop, "show search_path")
    with shop.transaction():
        status(shop, spec(live="state = 'open'"))
        immutable(shop, bind(shop, spec(live="state = 'open'")))
        assert scalar(shop, "show search_path") == before
    assert PLAIN.spec.live == "not deleted"


@pytest.fixture
def stranger(shop):
    """A role that may create in public, and nothing else."""
    name = f"stranger_{os.getpid()}"
    shop.execute(f"create role {name}; grant create on schema public to {name}")
    yield name
    shop.execute(f"drop owned by {name} cascade; drop role {name}")


def function(shop, name, owner, body="begin return new; end"):
    shop.execute(
        f"create function {name}() returns trigger language plpgsql as $${body}$$; "
        f"alter function {name}() owner to {owner}"
    )


def test_a_strangers_function_of_that_name_is_refused_and_left_alone(shop, stranger):
    name = names(spec(), named("public.invoices"), named("public.customers")).key
    function(shop, name, stranger)
    with pytest.raises(Refused, match=f"{name}.. belongs to {stranger}, who may change"):
        change.add(shop, spec())
    with pytest.raises(Refused, match="belongs to"):
        change.add(shop, spec())
    assert status(shop, spec())["guard"] == "none"
    assert scalar(shop, "select count(*) from pg_proc where proname = %s", name) == 1
    shop.execute(f"drop function {name}()")
    change.add(shop, spec())


def test_a_strangers_function_under_our_trigger_is_no_guard(shop, stranger):
    """She may replace its body, and it runs with the rights of whoever writes."""
    change.add(shop, spec())
    name = names(spec(), named("public.invoices"), named("public.customers")).key
    shop.execute(f"alter function {name}() owner to {stranger}")
    [guard] = status(shop, spec())["guards"]
    assert [part["part"].split()[0] for part in guard["parts"] if not part["there"]] == [
        "trigger"
    ]
    with pytest.raises(Refused, match="belongs to"):
        change.add(shop, spec())


def test_the_function_belongs_to_the_tables_owner_whoever_sets_the_guard(shop, stranger):
    shop.execute(f"alter table invoices owner to {stranger}")
    change.add(shop, spec())
    owner = scalar(
        shop,
        "select distinct proowner::regrole::text from pg_proc where proname like 'sexton%'",
    )
    assert owner == stranger
    assert status(shop, spec())["guard"] == "set"


@pytest.mark.parametrize("change_it", ["set search_path = public", "security definer"])
def test_a_changed_function_is_made_anew(shop, change_it):
    change.add(shop, spec())
    name = names(spec(), named("public.invoices"), named("public.customers")).key
    shop.execute(f"alter function {name}() {change_it}")
    assert status(shop, spec())["guard"] == "incomplete"
    change.add(shop, spec())
    assert status(shop, spec())["guard"] == "set"
