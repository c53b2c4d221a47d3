"""The function behind a guard's trigger is ours, and as we made it."""

import os

import pytest

from sexton.database import scalar
from sexton.errors import Refused
from sexton.guard import change
from sexton.guard.binding import bind
from sexton.guard.spec import GuardSpec
from sexton.guard.status import status


def spec(live: str = "not deleted", parent_live: str = "") -> GuardSpec:
    return GuardSpec(
        *("invoices", ("customer_id",), "customers", ("id",)),
        live=live,
        parent_live=parent_live,
    )


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
    name = bind(shop, spec()).child.marker
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
    name = bind(shop, spec()).child.marker
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
    name = bind(shop, spec()).child.marker
    shop.execute(f"alter function {name}() {change_it}")
    assert status(shop, spec())["guard"] == "incomplete"
    change.add(shop, spec())
    assert status(shop, spec())["guard"] == "set"
