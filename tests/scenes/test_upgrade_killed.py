"""Killed after any statement, the same command ends where it would have ended."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from typing import Any

import psycopg
import pytest

from sexton.catalog import schema
from sexton.chat.deletion import DeleteProvider
from sexton.chat.operation import run
from sexton.database import Connection, connect
from sexton.embedded import Server
from sexton.upgrade.drift import drift
from sexton.upgrade.run import Options, downgrade, upgrade
from tests.support.killing import EVERY, kill_process, kill_session, lived_through
from tests.support.project import HEAD, REVISIONS
from tests.support.tools import add_chat, add_model, add_provider, table

STRIDE = 1 if EVERY == 1 else 2 * EVERY + 1  # an upgrade sends some 200 statements
CHOICES = Options(choices=frozenset({"tombstones=disable"}))


def populate(connection: Connection) -> None:
    """A tombstone that was the default, under a provider that is gone; and live ones."""
    for name in ("anthropic", "openai"):
        add_provider(connection, name)
        add_model(connection, name, "a")
    default = add_model(connection, "openai", "b", is_default=True)
    add_chat(connection, default)
    run(connection, DeleteProvider("openai"))


def move(connection: Connection, url: str, revision: str) -> list[str]:
    go = upgrade if revision == HEAD else downgrade
    return go(connection, revision, CHOICES)


def rows_of(connection: Connection) -> list[Any]:
    return [table(connection, name) for name in ("chat_providers", "chat_model_configs")]


def moved_and_killed(url: str, revision: str, statement: int, kill: Any) -> bool:
    """Move in a child process; `kill` it after so many statements. True where it lived."""
    return lived_through(url, lambda c: move(c, url, revision), statement, kill)


@pytest.mark.parametrize("kill", [kill_process, kill_session])
@pytest.mark.parametrize("revision", ["0001", HEAD])
def test_killed_after_any_statement_it_converges(database, revision, kill):
    url = database(HEAD)
    with contextlib.closing(connect(url, name="tests")) as connection:
        populate(connection)
        first = rows_of(connection)
        move(connection, url, "0001")
        low = rows_of(connection)
        if revision == "0001":
            move(connection, url, HEAD)
        wanted = low if revision == "0001" else first
        back = HEAD if revision == "0001" else "0001"
        statement, lived = 1 - STRIDE, False
        while not lived:
            statement += STRIDE
            lived = moved_and_killed(url, revision, statement, kill)
            move(connection, url, revision)
            assert schema.revision(connection) == revision
            assert drift(connection) == []
            assert _without_times(rows_of(connection)) == _without_times(wanted), statement
            move(connection, url, back)
        assert statement > 50


def _without_times(tables: list[Any]) -> list[Any]:
    """The rows, but for the ids and times of stubs, which each way down makes anew."""
    return [
        [
            {
                name: value
                for name, value in row.items()
                if "api_key" not in row or name not in ("id", "created_at", "updated_at")
            }
            for row in sorted(rows, key=lambda row: (row["provider"], row.get("model", "")))
        ]
        for rows in tables
    ]


def test_a_crash_of_the_server_loses_nothing(tmp_path):
    with Server(tmp_path / "db", settings={"autovacuum": "off"}) as server:
        url = server.url()
        with contextlib.closing(connect(url, name="tests")) as connection:
            upgrade(connection)
            populate(connection)
            first = rows_of(connection)
        for statement in (40, 80):

            def crash(_connection: object) -> None:
                os.kill(server.pid or 0, signal.SIGQUIT)

            for revision in ("0001", HEAD):
                moved_and_killed(url, revision, statement, crash)
                server.stop(signal.SIGQUIT)
                server.start()
                with contextlib.closing(connect(url, name="tests")) as connection:
                    move(connection, url, revision)
            with contextlib.closing(connect(url, name="tests")) as connection:
                assert rows_of(connection) == first
                assert drift(connection) == []


def sexton(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sexton", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_two_upgrades_one_works_and_both_end_well(database):
    url = database("empty")
    both = [sexton("upgrade", "--url", url) for _ in range(3)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], said
    made = [out.count("applied ") for out, _ in said]
    assert sorted(made) == [0, 0, len(REVISIONS)]
    with contextlib.closing(connect(url, name="tests")) as connection:
        assert schema.revision(connection) == HEAD


def looks_of_an_upgrade(url: str, statement: int, meanwhile: Any) -> int:
    """Upgrade, and do something else before that many looks; how many looks it took."""
    looks = itertools.count()

    class Interrupted(psycopg.Cursor[Any]):
        def execute(self, *arguments: Any, **options: Any) -> Any:
            if next(looks) == statement:
                meanwhile()
            return super().execute(*arguments, **options)

    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.cursor_factory = Interrupted
        upgrade(connection)
    return next(looks)


@pytest.mark.parametrize("first", range(4))
def test_another_upgrade_between_any_two_looks_confuses_nobody(database, first):
    """Each of four tests takes every fourth look, so that they can run at once."""
    statement, looks = first, first + 1
    while statement < looks:
        url = database("empty")
        with contextlib.closing(connect(url, name="other")) as other:
            looks = looks_of_an_upgrade(url, statement, partial(upgrade, other))
            assert schema.revision(other) == HEAD
        statement += 4
    assert statement > 16


def test_an_upgrade_that_cannot_have_its_lock_says_6(database):
    url = database("0003")
    with contextlib.closing(connect(url, name="tests")) as connection:
        with connection.transaction():
            connection.execute("select from chat_providers")
            waiting = threading.Event()
            options = Options(say=lambda _: waiting.set())
            first = threading.Thread(
                target=lambda: upgrade(connection2(url), "head", options)
            )
            first.start()
            assert waiting.wait(60)
            second = sexton("upgrade", "--url", url, "--deadline", "300ms")
            _, err = second.communicate(timeout=60)
            assert second.returncode == 6
            assert "another upgrade is at work (pid" in err
        first.join()
        assert schema.revision(connection) == HEAD


_open: list[Connection] = []


def connection2(url: str) -> Connection:
    _open.append(connect(url, name="tests"))
    return _open[-1]


@pytest.fixture(autouse=True)
def _closed():
    yield
    while _open:
        _open.pop().close()
