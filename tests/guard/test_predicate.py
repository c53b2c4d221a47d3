"""Conditions: read by the server, and refused where no constraint can keep them."""

import pytest

from sexton.database import scalar
from sexton.errors import Refused, WrongSchema
from sexton.guard import change
from sexton.guard.binding import bind
from sexton.guard.predicate import simple
from sexton.guard.status import status
from tests.support.guards import everything_of_ours
from tests.support.worlds_of_guards import spec


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
