"""Guards over anybody's tables: each shape holds, comes, goes and comes back alike."""

import contextlib
import itertools
import threading
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel, errors

from sexton.database import Connection, connect, rows, scalar
from sexton.ddl import execution
from sexton.errors import Refused
from sexton.guard import change
from sexton.guard.change import planned
from sexton.guard.spec import GuardSpec
from sexton.guard.status import INCOMPLETE, NONE, SET, drift, enforced_by, status
from tests.support.guards import everything_of_ours, program, wait_until_blocked
from tests.support.killing import EVERY, kill_process, kill_session, lived_through
from tests.support.tools import second_connection
from tests.support.worlds_of_guards import BOTH, CUSTOMERS, PLAIN, SELF, WORLDS, World

every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


@pytest.fixture
def empty_url(database):
    return database("empty")


@pytest.fixture
def empty(empty_url):
    with contextlib.closing(connect(empty_url, name="tests")) as opened:
        yield opened


def run(connection: Connection, sql: Any) -> None:
    connection.execute(sql)


def make(connection: Connection, world: World) -> None:
    run(connection, world.tables)


def state(connection: Connection, *specs: GuardSpec) -> Any:
    return status(connection, *specs)["guard"]


def files(connection: Connection) -> Any:
    return rows(
        connection,
        "select oid, relfilenode from pg_class where relkind = 'r' "
        "and relnamespace <> 'pg_catalog'::regnamespace order by oid",
    )


def orphans(connection: Connection, world: World) -> int:
    """Live children of no live parent, said without the guard's own words."""
    sql: Any = (
        f"select count(*) from {world.child} c where ({world.spec.live or 'true'}) "
        f"and c.{_first(world)} is not null and not exists ("
        f"select from {_parent(world)} p where {world.parents})"
    )
    return int(scalar(connection, sql))


def _first(world: World) -> str:
    return f'"{world.spec.columns[0]}"'


def _parent(world: World) -> str:
    return ".".join(f'"{part}"' for part in world.spec.parent.split("."))


def refused(connection: Connection, sql: Any) -> None:
    with pytest.raises(errors.ForeignKeyViolation) as refusal:
        connection.execute(sql)
    assert str(refusal.value.diag.constraint_name).startswith("sexton_guard_")


@every_world
def test_it_holds_for_live_rows_and_for_them_alone(empty, world):
    make(empty, world)
    run(empty, world.insert_dead)
    before = files(empty)
    change.add(empty, world.spec)
    assert files(empty) == before
    assert state(empty, world.spec) == SET
    assert change.add(empty, world.spec) == []
    assert (
        enforced_by(empty, world.spec)
        == status(empty, world.spec)["guards"][0]["constraint"]
    )
    run(empty, world.insert)
    refused(empty, world.end)
    refused(empty, world.insert_orphan)
    refused(empty, world.revive_dead)
    with empty.transaction():
        run(empty, world.bury)
        run(empty, world.end)
    assert orphans(empty, world) == 0


@every_world
def test_it_goes_and_leaves_nothing_behind(empty, world):
    make(empty, world)
    change.add(empty, world.spec)
    assert everything_of_ours(empty)
    assert len(change.remove(empty, world.spec)) == 1
    assert everything_of_ours(empty) == []
    assert state(empty, world.spec) == NONE
    run(empty, world.insert_orphan)


@every_world
def test_it_is_refused_while_live_rows_are_orphans_and_before_the_first_step(empty, world):
    make(empty, world)
    run(empty, world.insert_orphan)
    before = everything_of_ours(empty)
    with pytest.raises(Refused, match=r"1 (live )?row of .* is an orphan: there is no"):
        change.add(empty, world.spec)
    assert everything_of_ours(empty) == before


@every_world
def test_a_dump_brings_it_back_whole(empty, empty_url, database, world):
    make(empty, world)
    change.add(empty, world.spec)
    run(empty, world.insert)
    target = database("empty")
    program("psql", "-qX", "-d", target, stdin=program("pg_dump", "-d", empty_url))
    with contextlib.closing(connect(target, name="tests")) as restored:
        assert state(restored, world.spec) == SET
        assert change.add(restored, world.spec) == []
        refused(restored, world.end)


@every_world
def test_the_script_for_psql_makes_it_and_takes_it_away(empty, empty_url, world):
    from sexton.ddl.options import Options
    from sexton.upgrade.route import guard_route
    from sexton.upgrade.script import script

    make(empty, world)
    run(empty, world.insert_dead)
    for verb, end in (("add", SET), ("remove", NONE)):
        route = guard_route(empty, verb, [world.spec])
        lines = script(empty, route, Options(), f"guard {verb}")
        program("psql", "-qX", "-d", empty_url, stdin=lines.encode())
        assert state(empty, world.spec) == end


@every_world
def test_quoting_of_everything_changes_nothing(empty, world):
    make(empty, world)
    change.add(empty, world.spec)
    empty.execute("set quote_all_identifiers = on")
    assert state(empty, world.spec) == SET
    assert drift(empty, world.spec) == []
    assert change.add(empty, world.spec) == []


@every_world
@pytest.mark.parametrize("level", list(IsolationLevel)[1:], ids=lambda x: x.name)
@pytest.mark.parametrize("first", ["child", "parent"])
def test_no_order_makes_an_orphan(empty, empty_url, world, level, first):
    make(empty, world)
    change.add(empty, world.spec)
    orders = [world.insert, world.end]
    one, two = orders if first == "child" else reversed(orders)
    failed: list[Exception] = []
    seen, begun = threading.Event(), threading.Event()
    with (
        contextlib.closing(second_connection(empty_url)) as other,
        contextlib.closing(second_connection(empty_url)) as third,
    ):
        empty.isolation_level = other.isolation_level = level

        def second():
            try:
                with other.transaction():
                    other.execute(f"select count(*) from {_parent(world)}")
                    seen.set()
                    begun.wait(10)
                    other.execute(two)
            except psycopg.Error as error:
                failed.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        assert seen.wait(10)
        with empty.transaction():
            empty.execute(one)
            begun.set()
            wait_until_blocked(third, other.info.backend_pid)
        thread.join(10)
        assert orphans(third, world) == 0
    [error] = failed
    assert isinstance(error, errors.ForeignKeyViolation | errors.SerializationFailure)


@pytest.mark.parametrize("kill", [kill_process, kill_session])
@pytest.mark.parametrize("world", [BOTH, SELF], ids=["both sides", "self-reference"])
@pytest.mark.parametrize(
    ("way", "other", "end"), [("add", "remove", SET), ("remove", "add", NONE)]
)
def test_killed_anywhere_it_converges(empty, empty_url, world, way, other, end, kill):
    make(empty, world)
    run(empty, world.insert_dead)
    for statement in itertools.count(1, 2 * EVERY):
        getattr(change, other)(empty, world.spec)

        def work(connection):
            getattr(change, way)(connection, world.spec)

        lived = lived_through(empty_url, work, statement, kill)
        getattr(change, way)(empty, world.spec)
        assert state(empty, world.spec) == end
        if lived:
            break
    assert statement > 20


def test_several_live_on_one_table(empty):
    make(empty, PLAIN)
    run(empty, "alter table invoices add payer_id bigint")
    payer = GuardSpec("invoices", ("payer_id",), "customers", ("id",))
    for spec in (PLAIN.spec, payer):
        change.add(empty, spec)
    assert state(empty, PLAIN.spec, payer) == SET
    refused(empty, "insert into invoices (customer_id, payer_id) values (1, 9)")
    refused(empty, "insert into invoices (customer_id, payer_id) values (9, 1)")
    change.remove(empty, PLAIN.spec)
    assert [one["guard"] for one in status(empty, PLAIN.spec, payer)["guards"]] == [
        NONE,
        SET,
    ]
    refused(empty, "insert into invoices (payer_id) values (9)")
    run(empty, "insert into invoices (customer_id) values (9)")


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


def test_what_a_part_lacks_is_said_and_repaired(empty):
    make(empty, BOTH)
    change.add(empty, BOTH.spec)
    guard = status(empty, BOTH.spec)["guards"][0]
    trigger = next(p["part"] for p in guard["parts"] if "trigger" in p["part"])
    name = trigger.split()[1]
    run(empty, f"alter table customers disable trigger {name}")
    assert state(empty, BOTH.spec) == INCOMPLETE
    [sentence] = drift(empty, BOTH.spec)
    assert f"it lacks {trigger}: sexton guard add" in sentence
    assert len(change.add(empty, BOTH.spec)) == 1
    assert state(empty, BOTH.spec) == SET


def test_another_condition_under_the_same_name_is_another_guard(empty):
    make(empty, BOTH)
    change.add(empty, BOTH.spec)
    other = GuardSpec(
        *("invoices", ("customer_id",), "customers", ("id",)), parent_live="not deleted"
    )
    assert state(empty, other) == INCOMPLETE
    assert enforced_by(empty, other) is None
    change.add(empty, other)
    assert state(empty, other) == SET
    assert state(empty, BOTH.spec) == INCOMPLETE


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
