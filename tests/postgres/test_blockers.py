"""Waits for locks: announced, bounded, and the blocking session is named."""

import contextlib
import threading

import psycopg
import pytest

from sexton.database import database as opened
from sexton.database import scalar
from sexton.errors import Busy
from sexton.postgres import session
from sexton.postgres.blockers import blocking, holding
from tests.support.tools import add_model, add_provider


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "1500ms")


@pytest.fixture
def locked(url, connection):
    """A session of the application that holds a table against everybody."""
    add_provider(connection, "openai")
    add_provider(connection, "azure")
    add_model(connection, "openai", is_default=True)
    named = psycopg.conninfo.make_conninfo(url, application_name="admin-ui")
    with psycopg.connect(named) as other:
        other.execute("lock table chat_model_configs in access exclusive mode")
        yield other


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "command",
    [
        *("status", "provider delete openai", "provider delete openai --dry-run"),
        *("provider list", "model list", "guard status", "grants auditor --to postgres"),
        *("repair", "upgrade --plan", "downgrade 0003 --plan", "adopt"),
    ],
)
def test_no_command_waits_in_silence_or_without_end(sexton, locked, command):
    done = sexton(*command.split())
    pid = f"pid {locked.info.backend_pid}"
    assert done.code in (0, 1, 3, 5, 6), done
    said = done.stderr + done.stdout
    if done.code not in (0, 1, 5):
        assert f"waiting for a lock held by {pid}, postgres (admin-ui), idle in" in said
    if done.code == 6:
        assert pid in done.stderr.rpartition("busy: ")[2], done


def test_status_and_delete_end_as_busy(sexton, locked, impatient):
    for command in ("status", "provider delete openai"):
        assert sexton(*command.split()).code == 6


def test_what_is_let_go_in_time_is_no_failure(sexton, locked):
    announced = threading.Event()

    class Listener:
        def write(self, text):
            if "waiting for a lock" in text:
                announced.set()
            return len(text)

    def release():
        assert announced.wait(60)
        locked.rollback()

    import logging

    handler = logging.StreamHandler(Listener())
    logging.getLogger("sexton.waiting").addHandler(handler)
    thread = threading.Thread(target=release)
    thread.start()
    try:
        assert sexton("status").code == 0
    finally:
        announced.set()
        thread.join()
        logging.getLogger("sexton.waiting").removeHandler(handler)


def test_a_shorter_timeout_of_the_roles_is_kept(url, locked):
    short = psycopg.conninfo.make_conninfo(url, options="-c lock_timeout=50ms")
    with opened(short) as own:
        assert own.execute("show lock_timeout").fetchone() == {"lock_timeout": "50ms"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(Busy))
        own = stack.enter_context(opened(short))
        own.execute("select from chat_model_configs")


def test_a_statement_that_waits_for_nobody_is_not_announced(url, caplog):
    caplog.set_level("INFO", "sexton.waiting")
    with opened(url) as own:
        own.execute("select pg_sleep(0.8)")
    assert not caplog.records


def test_only_the_locks_that_are_asked_for_are_seen(url, locked, connection):
    locked.rollback()
    oid = scalar(connection, "select 'chat_model_configs'::regclass::oid")
    locked.execute("select from chat_model_configs")
    locked.execute("select pg_advisory_xact_lock(7, 9)")  # two numbers are another lock
    assert holding(connection, [oid]) == []
    assert holding(connection, key=(7 << 32) + 9) == []
    locked.execute("update chat_model_configs set model = model")
    locked.execute("select pg_advisory_xact_lock(%s)", [(7 << 32) + 9])
    [session] = holding(connection, [oid], key=(7 << 32) + 9, name="our lock")
    assert session.pid == locked.info.backend_pid
    assert session.modes == ("our lock", "row exclusive on chat_model_configs")


def test_a_prepared_transaction_that_blocks_nobody_is_not_named(url, locked, connection):
    """Although it holds a lock on the same table."""
    locked.rollback()
    connection.execute("begin; update chat_model_configs set model = model")
    connection.execute("prepare transaction 'harmless'")
    lock = "lock table chat_model_configs in share update exclusive mode"
    try:
        locked.execute(lock)
        with psycopg.connect(url) as waiting:
            thread = threading.Thread(target=waiting.execute, args=[lock])
            thread.start()
            pid = waiting.info.backend_pid
            try:
                while not (found := blocking(connection, pid)):
                    assert thread.is_alive()
            finally:
                locked.rollback()
                thread.join()
        assert [session.pid for session in found] == [locked.info.backend_pid]
    finally:
        connection.execute("rollback prepared 'harmless'")
