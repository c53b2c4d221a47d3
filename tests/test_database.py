"""Connections: what errors say, and what they never say."""

import contextlib
import threading

import psycopg
import pytest

from sexton.chat import models
from sexton.database import (
    ATTEMPTS,
    connect,
    database,
    location,
    require_read_committed,
    scalar,
    settings,
    snapshot,
    transact,
)
from sexton.errors import Busy, ConnectionFailed, Refused, WrongSchema
from sexton.server_errors import to_sexton_error
from sexton.text.redaction import redact
from tests.support.tools import add_model, add_provider, second_connection


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://bob:s3cret@127.0.0.1:1/x",
        "postgresql+psycopg://bob:s3cret@127.0.0.1:1/x",
        "host=127.0.0.1 port=1 user=bob password=s3cret",
        "postgresql://bob:s3cret@127.0.0.1:notaport/x",
        "postgresql://bob:s3cret@[::1:1/x",
        "postgresql:/bob:s3cret@127.0.0.1/x y",
        "mysql://bob:s3cret@127.0.0.1/x",
        "postgresql://bob:a@s3cret@127.0.0.1:1/x",
        "postgresql://bob:s3cret/a@127.0.0.1:1/x",
        "postgresql://bob:%zzs3cret@127.0.0.1:1/x",
        "s3cret",
    ],
)
def test_no_failure_shows_a_password(address):
    with pytest.raises(ConnectionFailed) as failure, database(address):
        pass
    assert "s3cret" not in f"{failure.value.message} {failure.value.hint}"
    assert "\n" not in failure.value.message


def test_redaction_knows_urls_and_keys():
    assert redact("postgresql://bob:pw@h/x") == "postgresql://***@h/x"
    assert redact("host=h password='p w' user=u") == "host=h password=*** user=u"


def test_a_dead_server_is_named():
    with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1.*port 1 failed"):
        connect("host=127.0.0.1 port=1", name="tests")


def test_without_any_address_the_hint_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PGHOST", str(tmp_path))
    with pytest.raises(ConnectionFailed) as failure, database():
        pass
    assert failure.value.hint == "check the PG* variables, and that the server is up"


def test_database_url_is_used(monkeypatch, url):
    monkeypatch.setenv("DATABASE_URL", url)
    with database() as connection:
        assert scalar(connection, "select 1") == 1


def test_sqlalchemys_spelling_is_understood(url):
    parts = psycopg.conninfo.conninfo_to_dict(url)
    text = f"postgresql+psycopg:///{parts['dbname']}?" + "&".join(
        f"{name}={value}" for name, value in parts.items() if name != "dbname"
    )
    with database(text) as connection:
        assert connection.info.dbname == parts["dbname"]


def test_a_lock_that_cannot_be_had_is_busy(url):
    with contextlib.closing(connect(url, name="tests")) as other:
        other.autocommit = False
        other.execute("lock table chat_providers")
        impatient = f"{url} options='-c lock_timeout=50ms'"
        with pytest.raises(Busy), database(impatient) as opened:
            opened.execute("select from chat_providers")


def test_a_missing_table_is_the_wrong_schema(database):
    from sexton.database import database as opening

    with pytest.raises(WrongSchema), opening(database("empty")) as connection:
        connection.execute("select from chat_providers")


def test_a_snapshot_changes_nothing_and_is_over_afterwards(connection):
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), snapshot(connection):
        connection.execute("delete from chat_providers")
    connection.execute("delete from chat_providers")


def test_a_lost_serialization_conflict_is_tried_again(connection):
    tries = []

    def work():
        tries.append(None)
        if len(tries) < 3:
            connection.execute(
                "do $$ begin raise exception using errcode = '40001'; end $$"
            )
        return len(tries)

    assert transact(connection, work) == 3


def test_trying_again_ends(connection):
    def work():
        connection.execute("do $$ begin raise exception using errcode = '40P01'; end $$")

    with pytest.raises(psycopg.errors.DeadlockDetected):
        transact(connection, work)


def test_idle_sessions_are_not_ended_by_the_servers_settings(url):
    timeouts = "-c idle_in_transaction_session_timeout=1s -c idle_session_timeout=1s"
    strict = psycopg.conninfo.make_conninfo(url, options=timeouts)
    with contextlib.closing(connect(strict, name="tests")) as opened:
        for timeout in timeouts.replace("=1s", "").split(" -c ")[1:]:
            query = "select current_setting(%s)"
            assert scalar(opened, query, timeout.removeprefix("-c ")) == "0"


LEVELS = ["repeatable read", "serializable"]


@pytest.mark.parametrize("level", LEVELS)
def test_a_writer_sees_what_was_committed_while_it_waited(url, level):
    strict = psycopg.conninfo.make_conninfo(
        url, options="-c default_transaction_isolation=" + level.replace(" ", "\\ ")
    )
    with contextlib.closing(connect(strict, name="tests")) as opened:

        def work():
            return scalar(opened, "select current_setting('transaction_isolation')")

        assert transact(opened, work) == "read committed"
        with opened.transaction():
            assert work() == level


@pytest.mark.parametrize("level", LEVELS)
def test_in_a_callers_transaction_of_another_level_nothing_is_written(url, level):
    with psycopg.connect(url) as theirs:
        theirs.execute(f"set transaction isolation level {level}")
        with pytest.raises(Refused, match=f"the transaction is {level}"):
            require_read_committed(theirs)
        with pytest.raises(Refused, match=f"the transaction is {level}"):
            transact(theirs, lambda: None)


def test_a_connection_says_where_it_leads(url):
    with contextlib.closing(connect(url, name="tests")) as opened:
        found = location(opened)
        assert (found.database, found.role) == (opened.info.dbname, opened.info.user)
        assert f"{found.database} at " in str(found)
        assert str(found).endswith(f" as {found.role}")


def test_a_lock_that_is_let_go_in_time_is_no_failure(url, connection, monkeypatch):
    monkeypatch.setattr("sexton.database.LOCK_TIMEOUT", "50ms")
    add_provider(connection, "openai")
    model = add_model(connection, "openai")
    held, refused = threading.Event(), threading.Event()

    def hold():
        with (
            contextlib.closing(second_connection(url)) as other,
            other.transaction(),
        ):
            other.execute("select from chat_providers for update")
            held.set()
            assert refused.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)

    def work():
        try:
            return models.promote(connection, model)
        except psycopg.errors.LockNotAvailable:
            refused.set()
            raise

    assert transact(connection, work)["is_default"]
    thread.join()


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.SerializationFailure,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.LockNotAvailable,
    ],
)
def test_what_loses_every_time_ends_as_busy(connection, monkeypatch, error):
    monkeypatch.setattr("sexton.database.time.sleep", lambda _: None)
    tries = []

    def lose():
        tries.append(error)
        raise error("lost")

    with pytest.raises(error) as lost:
        transact(connection, lose)
    assert isinstance(to_sexton_error(lost.value), Busy)
    assert len(tries) == ATTEMPTS


def test_settings_end_with_their_block_in_a_callers_transaction(connection):
    wanted = {"jit": "off", "no_such_parameter": "1"}  # servers differ in what they have
    with connection.transaction():
        connection.execute("set local jit = on")
        with settings(connection, wanted):
            assert scalar(connection, "show jit") == "off"
        assert scalar(connection, "show jit") == "on"
