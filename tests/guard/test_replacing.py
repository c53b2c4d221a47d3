"""Another condition takes a guard's place, and nobody's writes fail for it."""

import contextlib
import itertools
from dataclasses import replace

import psycopg
import pytest

from sexton.database import Connection
from sexton.ddl import execution
from sexton.guard import change
from sexton.guard.change import planned
from sexton.guard.spec import GuardSpec
from sexton.guard.status import SET
from tests.support.guards import everything_of_ours
from tests.support.killing import SELDOM, kill_session, lived_through
from tests.support.revisions import state as catalog
from tests.support.tools import second_connection
from tests.support.worlds_of_guards import CUSTOMERS, refused, run, spec, state

# Children that only one of the two counts, under each kind of parent.
ROWS = """
    insert into invoices (customer_id, state, deleted) values
        (1, 'open', false), (1, 'paid', false), (1, 'open', true);
"""
OTHERS = {
    "fewer children": (spec(), spec("not deleted and state <> 'paid'")),
    "more children": (spec("not deleted and state <> 'paid'"), spec()),
    "other children": (spec(), spec("state <> 'paid'")),
    "fewer parents": (spec(), spec(parent_live="not deleted")),
    "more parents": (spec(parent_live="not deleted"), spec()),
    "other rows of both": (
        spec("not deleted", "not deleted"),
        spec("state <> 'paid'", "name <> 'dead'"),
    ),
    "all children": (spec(), spec("", "not deleted")),
}


def writes() -> list[str]:
    """Each write of a child under a live, dead or missing parent, and of each parent."""
    children = itertools.product((1, 2, 9), ("open", "paid"), ("false", "true"))
    return [
        *(
            f"insert into invoices (customer_id, state, deleted) values ({c}, '{s}', {d})"
            for c, s, d in children
        ),
        "update customers set deleted = true where id = 1",
        "update customers set name = 'dead' where id = 1",
        "update customers set name = 'x', deleted = false where id = 2",
        "delete from customers where id = 1",
        "delete from customers where id = 2",
        "update invoices set deleted = not deleted where customer_id = 1",
    ]


def allowed(connection: Connection, write: str) -> bool:
    """Whether the database lets a write pass; it is taken back."""
    try:
        with connection.transaction(force_rollback=True):
            run(connection, write)
    except psycopg.errors.ForeignKeyViolation:
        return False
    return True


def made(connection: Connection, guard: GuardSpec) -> None:
    run(connection, CUSTOMERS + ROWS)
    change.add(connection, guard)


def alone(database, guard: GuardSpec) -> tuple[dict[str, bool], object]:
    """A guard set where none was: which writes it lets pass, and what is there of it."""
    with contextlib.closing(second_connection(database("empty"))) as connection:
        made(connection, guard)
        passes = {write: allowed(connection, write) for write in writes()}
        return passes, parts(connection)


def parts(connection: Connection) -> object:
    return everything_of_ours(connection), catalog(connection)


@pytest.mark.parametrize(("old", "new"), OTHERS.values(), ids=OTHERS)
def test_between_its_steps_both_laws_hold(empty, empty_url, database, old, new):
    """What both allow passes, what the old one refuses does not, until the last step."""
    (before, _), (after, wanted) = alone(database, old), alone(database, new)
    assert before != after
    made(empty, old)
    steps = planned(empty, "add", new)
    with contextlib.closing(second_connection(empty_url)) as writer:
        for step in steps:
            execution.run(empty, [step])
            for write in writes():
                found = allowed(writer, write)
                if step is steps[-1]:
                    assert found == after[write], write
                elif before[write] == after[write]:
                    assert found == before[write], (step.title, write)
                else:
                    assert not found or before[write], (step.title, write)
    assert state(empty, new) == SET
    assert parts(empty) == wanted
    assert change.add(empty, new) == []
    change.remove(empty, new)
    assert everything_of_ours(empty) == []


def test_killed_anywhere_the_old_one_holds_until_the_new_one_does(empty, empty_url):
    old, new = OTHERS["other rows of both"]
    made(empty, old)
    ends = "update customers set name = 'dead', deleted = true where id = 1"
    for statement in itertools.count(1, SELDOM):
        change.add(empty, old)

        def work(connection):
            change.add(connection, new)

        lived = lived_through(empty_url, work, statement, kill_session)
        assert not allowed(empty, ends)
        change.add(empty, new)
        assert state(empty, new) == SET
        if lived:
            break
    assert statement > 20


def test_what_was_begun_is_cleared_by_another_change_and_by_the_removal(empty):
    old, new = OTHERS["other rows of both"]
    made(empty, old)
    whole = everything_of_ours(empty)
    begun = planned(empty, "add", new)[:3]
    execution.run(empty, begun)
    assert len(change.add(empty, old)) == 1
    assert (everything_of_ours(empty), state(empty, old)) == (whole, SET)
    execution.run(empty, begun)
    third = replace(new, live="state = 'open'", parent_live="")
    change.add(empty, third)
    assert state(empty, third) == SET
    execution.run(empty, planned(empty, "add", old)[:3])
    change.remove(empty, third)
    assert everything_of_ours(empty) == []


def test_orphans_of_the_new_condition_are_said_before_the_first_step(empty):
    made(empty, spec("not deleted and state <> 'paid'"))
    before = everything_of_ours(empty)
    run(empty, "insert into invoices (customer_id, state) values (9, 'paid')")
    with pytest.raises(Exception, match="is an orphan"):
        change.add(empty, spec())
    assert everything_of_ours(empty) == before
    refused(empty, "insert into invoices (customer_id) values (9)")
