"""Each side gets its column, its mark and its key."""

import pytest

from sexton.database import rows, scalar
from sexton.ddl import execution
from sexton.errors import Refused
from sexton.guard import change
from sexton.guard.change import planned
from tests.support.guards import everything_of_ours
from tests.support.worlds_of_guards import (
    BOTH,
    CUSTOMERS,
    SELF,
    every_world,
    make,
    refused,
    run,
)


def test_two_keys_among_dead_parents_are_no_hindrance(empty):
    """A key is often used again once its owner is soft-deleted."""
    run(empty, CUSTOMERS)
    run(empty, "alter table customers drop constraint customers_pkey")
    run(empty, "insert into customers values (1, 'old', true), (1, 'older', true)")
    change.add(empty, BOTH.spec)
    run(empty, BOTH.insert)
    refused(empty, "update customers set deleted = true where name = 'live'")
    run(empty, "update customers set name = 'oldest' where name = 'older'")
    change.remove(empty, BOTH.spec)
    run(empty, "insert into customers values (1, 'twin')")
    with pytest.raises(Refused, match="two rows of customers that count have the key 1"):
        change.add(empty, BOTH.spec)
    assert everything_of_ours(empty) == []


def test_a_tree_is_buried_in_one_statement(empty):
    make(empty, SELF)
    run(empty, SELF.insert)
    change.add(empty, SELF.spec)
    refused(empty, SELF.end)
    run(empty, "update folders set deleted = true")
    run(empty, "insert into folders values (3, 3)")  # its own parent
    run(empty, "update folders set deleted = true where id = 3")


def test_rows_of_before_are_marked_by_the_thousand_and_their_triggers_fire(empty):
    make(empty, BOTH)
    run(
        empty,
        """
        create table log (no bigint);
        create function note() returns trigger language plpgsql as
            $$begin insert into log values (new.no); return new; end$$;
        create trigger note after update on invoices for each row execute function note();
        insert into invoices (customer_id, state) select 2, 'paid'
        from generate_series(1, 2500)
        """,
    )
    change.add(empty, BOTH.spec)
    assert scalar(empty, "select count(*) from log") == 2500


@every_world
def test_its_steps_take_what_they_declare(empty, world):
    make(empty, world)
    for step in planned(empty, "add", world.spec):
        if step.outside_transaction:
            execution.run(empty, [step])
            continue
        with empty.transaction():
            execution.run(empty, [step])
            held = rows(
                empty,
                """
                select distinct c.oid::regclass::text as table, l.mode
                from pg_locks l join pg_class c on c.oid = l.relation
                where l.pid = pg_backend_pid() and c.relkind in ('r', 'p')
                  and c.relnamespace <> 'pg_catalog'::regnamespace
                  and l.mode in ('ShareRowExclusiveLock', 'AccessExclusiveLock')
                order by l.mode desc
                """,
            )
        mode = step.lock.title().replace(" ", "") + "Lock"
        strongest = {row["table"]: row["mode"] for row in held}  # the strongest is first
        assert set(strongest.values()) <= {mode}, step.title
        assert len(strongest) in (0, len(step.tables)), step.title
