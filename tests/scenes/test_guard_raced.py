"""No order of two transactions makes an orphan under a guard."""

import contextlib
import threading

import psycopg
import pytest
from psycopg import IsolationLevel, errors

from sexton.guard import change
from tests.support.guards import (
    drop_provider,
    orphans,
    revive,
    tombstone,
    wait_until_blocked,
)
from tests.support.tools import add_model, add_provider, second_connection
from tests.support.worlds_of_guards import every_world, make, orphans_of, parent_of


@pytest.fixture
def other(guarded_url):
    with contextlib.closing(second_connection(guarded_url)) as opened:
        yield opened


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
                    other.execute(f"select count(*) from {parent_of(world)}")
                    seen.set()
                    begun.wait(60)
                    other.execute(two)
            except psycopg.Error as error:
                failed.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        assert seen.wait(60)
        with empty.transaction():
            empty.execute(one)
            begun.set()
            wait_until_blocked(third, other.info.backend_pid)
        thread.join(60)
        assert orphans_of(third, world) == 0
    [error] = failed
    assert isinstance(error, errors.ForeignKeyViolation | errors.SerializationFailure)


@pytest.mark.parametrize("level", list(IsolationLevel)[1:], ids=lambda x: x.name)
@pytest.mark.parametrize("first", ["insert", "delete"])
@pytest.mark.parametrize("change", ["insert", "revive", "move"])
def test_no_order_of_a_write_and_a_deletion_makes_an_orphan(
    guarded, other, guarded_url, level, first, change
):
    add_provider(guarded, "openai")
    add_provider(guarded, "azure")
    dead = tombstone(guarded, "openai")
    away = add_model(guarded, "azure")

    def write(connection):
        if change == "insert":
            add_model(connection, "openai")
        elif change == "revive":
            revive(connection, dead)
        else:
            connection.execute(
                "update chat_model_configs set provider = 'openai' where id = %s", (away,)
            )

    def delete(connection):
        drop_provider(connection, "openai")

    one, two = (write, delete) if first == "insert" else (delete, write)
    guarded.isolation_level = other.isolation_level = level
    failed: list[Exception] = []

    def second():
        try:
            with other.transaction():
                # The snapshot is older than the first one's commit.
                other.execute("select count(*) from chat_providers")
                seen.set()
                begun.wait(60)
                two(other)
        except psycopg.Error as error:
            failed.append(error)

    seen, begun = threading.Event(), threading.Event()
    thread = threading.Thread(target=second)
    with contextlib.closing(second_connection(guarded_url)) as third:
        thread.start()
        assert seen.wait(60)
        with guarded.transaction():
            one(guarded)
            begun.set()
            wait_until_blocked(third, other.info.backend_pid)
        thread.join(60)
        assert not thread.is_alive()
        assert orphans(third) == 0
    [error] = failed
    assert isinstance(error, errors.ForeignKeyViolation | errors.SerializationFailure)
