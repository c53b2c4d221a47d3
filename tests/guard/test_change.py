"""How a guard comes and goes."""

import contextlib
import threading

import pytest

from sexton.database import connect, scalar
from sexton.ddl import execution
from sexton.errors import Busy, Refused, WrongSchema, WrongServer
from sexton.upgrade.run import Options, upgrade
from tests.support import guards as guard
from tests.support.guards import (
    TABLES,
    bury,
    drop_provider,
    everything_of_ours,
    guard_refuses,
    storage,
    tombstone,
    wait_for,
)
from tests.support.tools import add_model, add_provider, login, second_connection, table


def test_add_sets_it_without_rewriting_a_table(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    before = storage(connection)
    assert guard.status(connection)["guard"] == "none"
    assert (
        len(guard.add(connection)) == len(guard.ADD) - 3
    )  # no tombstone, no other key, no other time
    assert guard.status(connection)["guard"] == "set"
    assert guard.status(connection)["constraint"] == "sexton_guard"
    assert storage(connection) == before


def test_add_again_does_nothing(guarded):
    assert guard.add(guarded) == []


def test_add_marks_the_tombstones_that_are_there(connection):
    add_provider(connection, "openai")
    live = add_model(connection, "openai")
    dead = tombstone(connection, "legacy-removed")
    guard.add(connection)
    found = {r["id"]: r["sexton_live"] for r in table(connection, "chat_model_configs")}
    assert found == {live: True, dead: None}


def test_add_marks_around_a_tombstone_that_somebody_is_writing(connection, url):
    busy, free = tombstone(connection, "a"), tombstone(connection, "b")
    marked = "select sexton_live is null from chat_model_configs where id = %s"
    worker = threading.Thread(target=lambda: guard.add(connection))
    with contextlib.closing(second_connection(url)) as watch:
        with contextlib.closing(second_connection(url)) as writer, writer.transaction():
            # The strong locks must come through first: write after the column is there.
            watch.execute("create table go (i int)")
            worker.start()
            wait_for(
                watch,
                "select count(*) = 1 from pg_attribute where attname = "
                "'sexton_live' and attrelid = 'chat_model_configs'::regclass",
            )
            writer.execute(
                "select from chat_model_configs where id = %s for update", (busy,)
            )
            wait_for(watch, marked, free)
        worker.join(60)
        assert not worker.is_alive()
        assert scalar(watch, marked, busy)
        assert guard.status(watch)["guard"] == "set"


def test_add_is_refused_while_live_models_are_orphans(connection):
    id = add_model(connection, "openai")
    tombstone(connection, "azure")
    with pytest.raises(Refused) as refusal:
        guard.add(connection)
    assert refusal.value.message == (
        "1 live row of chat_model_configs is an orphan: "
        "there is no chat_providers.provider 'openai'; nothing was changed"
    )
    assert "sexton repair model_without_provider" in str(refusal.value.hint)
    assert guard.status(connection)["guard"] == "none"
    bury(connection, id)
    guard.add(connection)


def test_an_orphan_that_comes_in_between_is_named_and_no_second_one_can_come(connection):
    for step in guard.ADD[:-3]:
        execution.run(connection, [step])
    id = add_model(connection, "openai")
    with pytest.raises(Refused, match="1 live row of chat_model_configs is an orphan"):
        guard.add(connection)
    execution.run(connection, [guard.ADD[-3]])
    with guard_refuses():
        add_model(connection, "openai")
    bury(connection, id)
    guard.add(connection)
    assert guard.status(connection)["guard"] == "set"


def test_add_needs_tombstones(database):
    with (
        contextlib.closing(connect(database("0001"), name="tests")) as connection,
        pytest.raises(WrongSchema, match="has no column deleted"),
    ):
        guard.add(connection)


@pytest.mark.parametrize("revision", ["0002", "0003"])
def test_it_can_be_set_beside_the_plain_key_and_survives_its_end(database, revision):
    url = database(revision)
    with contextlib.closing(connect(url, name="tests")) as connection:
        guard.add(connection)
        upgrade(connection)
        add_provider(connection, "openai")
        add_model(connection, "openai")
        with guard_refuses():
            drop_provider(connection, "openai")


def test_it_lies_beside_the_tables_wherever_they_are(connection):
    connection.execute("create schema product")
    for name in TABLES:
        connection.execute(f"alter table {name} set schema product")
    connection.execute("set search_path = public, product")
    guard.add(connection)
    assert (
        scalar(
            connection,
            "select pronamespace::regnamespace::text from pg_proc "
            "where proname = 'sexton_live'",
        )
        == "product"
    )
    guard.remove(connection)
    assert guard.status(connection)["guard"] == "none"


def test_two_at_once_make_one_guard(url):
    made: list[list[str]] = []

    def add():
        with contextlib.closing(connect(url, name="tests")) as connection:
            together.wait()
            made.append(guard.add(connection))

    together = threading.Barrier(2)
    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(bool, made)) == [False, True]


def test_nobody_is_queued_behind_an_idle_reader(url, connection):
    with contextlib.closing(second_connection(url)) as reader, reader.transaction():
        reader.execute("select count(*) from chat_model_configs")
        with pytest.raises(Busy) as busy:
            guard.add(connection, Options(max_stall=0.1, deadline=0.6))
    assert "no access exclusive lock on chat_model_configs" in busy.value.message
    assert "run the command again to finish" in busy.value.message
    assert guard.status(connection)["guard"] == "incomplete"
    guard.add(connection)
    assert guard.status(connection)["guard"] == "set"


def test_whoever_does_not_own_the_tables_hears_whose_they_are(
    connection, url, administrator
):
    role = f"stranger_{scalar(connection, 'select pg_backend_pid()')}"
    administrator.execute(f"create role {role} {login(administrator)}")
    try:
        with contextlib.closing(connect(f"{url} user={role}", name="tests")) as stranger:
            for change in (guard.add, guard.remove):
                with pytest.raises(WrongServer, match=f"the role {role} does not own"):
                    change(stranger)
                guard.add(connection)
    finally:
        administrator.execute(f"drop role {role}")


def test_remove_leaves_nothing_behind(guarded):
    tombstone(guarded, "openai")
    before = storage(guarded)
    assert everything_of_ours(guarded)
    assert len(guard.remove(guarded)) == 1
    assert everything_of_ours(guarded) == []
    assert storage(guarded) == before
    assert guard.remove(guarded) == []
    add_model(guarded, "openai")


def test_remove_is_refused_where_something_else_hangs_on_it(guarded):
    guarded.execute("create view mine as select sexton_live from chat_model_configs")
    with pytest.raises(Refused, match=r"view public\.mine depends on"):
        guard.remove(guarded)
    assert guard.status(guarded)["guard"] == "set"
