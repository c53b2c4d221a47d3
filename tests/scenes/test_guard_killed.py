"""Killed anywhere, a guard's change goes on from there."""

import contextlib
import itertools

import psycopg
import pytest

from sexton.database import Connection, connect
from sexton.errors import SextonError
from sexton.guard import change
from sexton.guard.status import NONE, SET
from tests.support import guards as guard
from tests.support.guards import tombstone
from tests.support.killing import EVERY, kill_process, kill_session, lived_through
from tests.support.tools import table
from tests.support.worlds_of_guards import BOTH, SELF, make, run, state


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


def kill_at(connection: Connection, number: int) -> None:
    """Let the server kill the session that ends its `number`th DDL statement from now."""
    connection.execute("drop event trigger if exists killer")
    connection.execute("create sequence if not exists deaths")
    connection.execute("select setval('deaths', 1, false)")
    connection.execute(
        f"""
        create or replace function killer() returns event_trigger language plpgsql as $$
        begin
            if nextval('public.deaths') = {number} then
                perform pg_terminate_backend(pg_backend_pid());
                perform pg_sleep(10);
            end if;
        end
        $$
        """
    )
    connection.execute(
        "create event trigger killer on ddl_command_end execute function killer()"
    )


@pytest.mark.parametrize("way", ["add", "remove"])
def test_killed_at_any_statement_it_goes_on_from_there(url, connection, way):
    dead = tombstone(connection, "legacy-removed")
    reached = 0
    for number in itertools.count(1):
        if way == "remove":
            guard.add(connection)
        kill_at(connection, number)
        with contextlib.closing(connect(url, name="tests")) as doomed:
            try:
                getattr(guard, way)(doomed)
            except (psycopg.OperationalError, SextonError):
                reached = number
        connection.execute("drop event trigger killer")
        if reached < number:
            break
        getattr(guard, way)(connection)
        expected = {"add": "set", "remove": "none"}[way]
        assert guard.status(connection)["guard"] == expected
        guard.remove(connection)
    assert reached >= {"add": 14, "remove": 4}[way]
    assert table(connection, "chat_model_configs")[0]["id"] == dead


@pytest.mark.parametrize("kill", [kill_process, kill_session])
@pytest.mark.parametrize(
    ("way", "other", "end"), [("add", "remove", "set"), ("remove", "add", "none")]
)
def test_killed_after_any_statement_it_converges(url, connection, way, other, end, kill):
    dead = tombstone(connection, "legacy-removed")
    statement, lived = 1 - EVERY, False
    while not lived:
        getattr(guard, other)(connection)
        statement += EVERY
        lived = lived_through(url, getattr(guard, way), statement, kill)
        getattr(guard, way)(connection)
        assert guard.status(connection)["guard"] == end
    assert statement > 20
    assert table(connection, "chat_model_configs")[0]["id"] == dead
