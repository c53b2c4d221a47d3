"""The guard among the revisions."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import errors

from sexton.catalog.schema import revision
from sexton.database import connect
from sexton.upgrade.route import find_route
from sexton.upgrade.run import Options, downgrade, upgrade
from sexton.upgrade.script import script
from tests.support import guards as guard
from tests.support.guards import everything_of_ours, program, tombstone
from tests.support.project import HEAD, above, down_to
from tests.support.tools import add_model, add_provider, table


@contextlib.contextmanager
def somebody_inserts_orphans(url: str) -> Iterator[list[Any]]:
    """Try without end; yield the list of those that came in."""
    came_in: list[Any] = []
    tried: list[int] = []
    stop, trying = threading.Event(), threading.Event()

    def insert():
        with contextlib.closing(connect(url, name="tests, an old replica")) as raw:
            while not stop.is_set():
                with contextlib.suppress(errors.ForeignKeyViolation):
                    came_in.append(add_model(raw, "vercel"))
                tried.append(1)
                trying.set()

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        assert trying.wait(60)
        before = len(tried)
        yield came_in
        assert len(tried) > before
    finally:
        stop.set()
        thread.join(60)


def test_upgrade_with_the_guard_and_downgrade_leave_no_unprotected_instant(database):
    url = database("0001")
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai")
        live = add_model(connection, "openai")
        with somebody_inserts_orphans(url) as came_in:
            up = upgrade(connection, guarded=True)
            assert guard.status(connection)["guard"] == "set"
            dead = tombstone(connection, "openai")
            down = downgrade(connection, "0003")
        assert came_in == []
        assert up == ["0002", "0003", "guard", *above("0003")]
        assert down == [*down_to("0003"), "guard"]
        assert everything_of_ours(connection) == []
        with pytest.raises(errors.ForeignKeyViolation):
            add_model(connection, "azure")
        assert {row["id"] for row in table(connection, "chat_model_configs")} == {
            live,
            dead,
        }


def test_upgrade_without_the_guard_sets_none(database):
    url = database("0001")
    with contextlib.closing(connect(url, name="tests")) as connection:
        assert upgrade(connection) == above("0001")
        assert everything_of_ours(connection) == []


def test_upgrade_sets_the_guard_at_head_too(url, connection):
    assert upgrade(connection, guarded=True) == ["guard"]
    assert upgrade(connection, guarded=True) == []


def test_a_way_down_that_keeps_the_key_away_keeps_the_guard(guarded, guarded_url):
    assert downgrade(guarded, HEAD) == []
    assert guard.status(guarded)["guard"] == "set"


def test_all_the_way_down_and_up_again(guarded, guarded_url):
    assert downgrade(guarded, "base")[: len(above("0002"))] == [
        *down_to("0003"),
        "guard",
    ]
    assert upgrade(guarded, guarded=True)[-len(above("0002")) :] == [
        "guard",
        *above("0003"),
    ]
    assert guard.status(guarded)["guard"] == "set"


def test_the_script_for_psql_sets_the_guard(database):
    url = database("0001")
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai")
        tombstoned = script(
            connection, find_route(connection, "up", "head", guarded=True), Options(), ""
        )
        program("psql", "-q", "-X", "-d", url, stdin=tombstoned.encode())
        assert guard.status(connection)["guard"] == "set"
        assert revision(connection) == HEAD
        back = script(connection, find_route(connection, "down", "0003"), Options(), "")
        program("psql", "-q", "-X", "-d", url, stdin=back.encode())
        assert everything_of_ours(connection) == []
        assert revision(connection) == "0003"
