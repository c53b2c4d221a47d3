"""Nobody queues behind an upgrade, and it gets through all the same."""

import contextlib
import re
import threading
import time
from typing import Any, Self

import psycopg
import pytest

from sexton.database import connect, scalar
from sexton.ddl.holders import LockSampler
from sexton.ddl.options import Options
from sexton.embedded import Server
from sexton.errors import Busy, Refused, WrongServer
from sexton.upgrade.run import downgrade, upgrade
from tests.support.tools import add_model, add_provider


@pytest.fixture
def url(database):
    """A database where the key still stands: the next step locks both tables."""
    return database("0003")


@pytest.fixture
def other(url):
    """Another session, the application's."""
    with contextlib.closing(connect(url, name="application")) as opened:
        yield opened


class Readers:
    """Short reads of both tables, one after the other, and how long each took."""

    def __init__(self, url: str) -> None:
        self.url, self.stopped = url, threading.Event()
        self.times: list[float] = []
        self.threads = [threading.Thread(target=self._read) for _ in range(2)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _read(self) -> None:
        with contextlib.closing(connect(self.url, name="reader")) as connection:
            while not self.stopped.is_set():
                began = time.monotonic()
                connection.execute(
                    "select * from chat_model_configs c "
                    "join chat_providers p using (provider)"
                )
                self.times.append(time.monotonic() - began)
                self.stopped.wait(0.005)


class Working(threading.Thread):
    """An upgrade in the background; `said` is what it said while it waited."""

    def __init__(
        self, url: str, move: Any = upgrade, target: str = "head", **options: Any
    ) -> None:
        super().__init__()
        self.url, self.move, self.target = url, move, target
        self.said: list[str] = []
        self.error: Exception | None = None
        self.made: list[str] = []
        self.ended = 0.0
        self.announced = threading.Event()
        self.options = Options(say=self._say, **options)
        self.start()

    def _say(self, line: str) -> None:
        self.said.append(line)
        self.announced.set()

    def run(self) -> None:
        with contextlib.closing(connect(self.url, name="tests")) as connection:
            try:
                self.made = self.move(connection, self.url, self.target, self.options)
            except Exception as error:
                self.error = error
            self.ended = time.monotonic()

    def result(self) -> list[str]:
        self.join(60)
        assert not self.is_alive()
        if self.error:
            raise self.error
        return self.made


@pytest.mark.parametrize("table", ["chat_providers", "chat_model_configs"])
def test_an_idle_reader_is_waited_for_outside_the_queue(url, other, table):
    with Readers(url) as readers, other.transaction():
        other.execute(f"select * from {table}")
        working = Working(url, max_stall=0.2)
        assert working.announced.wait(20)
        assert f"access share on {table}" in working.said[0]
        assert f"pid {other.info.backend_pid}, postgres (application)" in working.said[0]
        queued = "select count(*) from pg_locks where not granted and locktype = 'relation'"
        assert scalar(other, queued) == 0
        readers.times.clear()
        working.join(0.5)
        assert working.is_alive()
        ended = time.monotonic()
        longest = max(readers.times)
    assert working.result() == ["0004"]
    assert longest < 0.2
    assert working.ended - ended < 4


def test_at_the_deadline_it_says_who_when_and_what_to_type(url, other, sexton):
    with other.transaction():
        other.execute("select 'a secret' from chat_model_configs")
        sexton.url = url
        result = sexton("upgrade", "--max-stall", "100ms", "--deadline", "700ms")
        shown = sexton(
            *("upgrade", "--max-stall", "100ms", "--deadline", "700ms", "--show-queries")
        )
    assert result.code == 6
    assert re.search(
        rf"held by pid {other.info.backend_pid}, postgres \(application\), "
        r"idle in transaction, [\d.]+ m?s old, holds access share on chat_model_configs",
        result.stderr,
    )
    assert "no access exclusive lock on chat_providers, chat_model_configs" in result.stderr
    assert "made nobody wait" in result.stderr
    assert "the database is at 0003" in result.stderr
    assert "--terminate-idle-older-than" in result.stderr
    assert "a secret" not in result.stderr
    assert "a secret" in shown.stderr


def test_an_idle_transaction_is_ended_only_where_asked(url, other):
    other.execute("begin")
    other.execute("select from chat_providers")
    working = Working(url, max_stall=0.1, terminate_idle_older_than=0.3)
    assert working.result() == ["0004"]
    assert any(line.startswith("ended pid") for line in working.said)
    with pytest.raises(psycopg.OperationalError):
        other.execute("select 1")


def test_an_active_session_is_never_ended(url, other):
    with other.transaction():
        other.execute("select from chat_providers")
        sleeping = threading.Thread(target=other.execute, args=("select pg_sleep(1.2)",))
        sleeping.start()
        working = Working(url, max_stall=0.1, deadline=0.6, terminate_idle_older_than=0.1)
        with pytest.raises(Busy):
            working.result()
        sleeping.join()
        assert scalar(other, "select 1") == 1


def test_a_prepared_transaction_is_seen_and_named(url, other):
    other.execute("begin")
    other.execute("update chat_providers set enabled = enabled")
    other.execute("prepare transaction 'left behind'")
    try:
        sampler = LockSampler(other, ["chat_providers"], "access exclusive")
        [holder] = [h for h in sampler.sample() if h.gid]
        assert (holder.gid, holder.pid) == ("left behind", None)
        working = Working(url, max_stall=0.1, deadline=0.7)
        with pytest.raises(Busy, match="prepared transaction 'left behind'") as raised:
            working.result()
        assert "rollback prepared 'left behind'" in raised.value.hint
    finally:
        other.execute("rollback prepared 'left behind'")
    assert Working(url).result() == ["0004"]


def test_writers_from_parent_to_child_never_deadlock_with_it(url, other):
    add_provider(other, "openai")
    add_model(other, "openai")
    stopped, errors, done = threading.Event(), [], []

    def write():
        with contextlib.closing(connect(url, name="writer")) as connection:
            while not stopped.is_set():
                try:
                    with connection.transaction():
                        connection.execute("update chat_providers set updated_at = now()")
                        connection.execute("select pg_sleep(0.01)")
                        connection.execute(
                            "update chat_model_configs set updated_at = now()"
                        )
                    done.append(1)
                except psycopg.Error as error:
                    errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            assert Working(url, deadline=20).result() == ["0004"]
            assert Working(url, downgrade, "0003", deadline=20).result() == ["0004"]
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert done


def test_steady_transactions_of_hundreds_of_milliseconds_do_not_starve_it(url):
    stopped = threading.Event()

    def work(nap):
        with contextlib.closing(connect(url, name="steady")) as connection:
            while not stopped.is_set():
                with connection.transaction():
                    connection.execute("select from chat_model_configs")
                    connection.execute("select pg_sleep(%s)", (nap,))

    threads = [threading.Thread(target=work, args=(0.1 + n / 20,)) for n in range(8)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    try:
        assert Working(url).result() == ["0004"]
    finally:
        took = time.monotonic() - began
        stopped.set()
        for thread in threads:
            thread.join()
    assert took < 5


def test_autovacuum_is_sent_away_without_stalling_others(tmp_path):
    """Its lock is SHARE UPDATE EXCLUSIVE, and it yields a second after it is in the way."""
    settings = {"fsync": "off", "autovacuum_naptime": "1s"}
    with (
        Server(tmp_path / "db", settings=settings) as server,
        contextlib.closing(connect(server.url(), name="application")) as other,
    ):
        upgrade(other, server.url(), "0003")
        other.execute(DEAD_ROWS)
        until = time.monotonic() + 30
        while not scalar(other, VACUUMING):
            assert time.monotonic() < until, "autovacuum did not start"
            time.sleep(0.02)
        with Readers(server.url()) as readers:
            assert Working(server.url()).result() == ["0004"]
        assert max(readers.times) < 0.5


DEAD_ROWS = """
    insert into chat_providers (provider) values ('openai');
    insert into chat_model_configs
        (provider, model, context_limit, compression_threshold)
    select 'openai', 'm' || n, 1, 1 from generate_series(1, 20000) n;
    delete from chat_model_configs;
    alter table chat_model_configs set (
        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,
        autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0
    )
"""
VACUUMING = """
    select count(*) from pg_locks l join pg_stat_activity a using (pid)
    where l.relation = 'chat_model_configs'::regclass
      and a.backend_type = 'autovacuum worker' and l.mode = 'ShareUpdateExclusiveLock'
"""


def test_a_role_without_statistics_still_sees_that_somebody_is_there(url, other):
    other.execute("create role plain_role")
    other.execute("grant usage on schema public to plain_role")
    try:
        with (
            contextlib.closing(connect(url, name="plain")) as plain,
            other.transaction(),
        ):
            plain.execute("set role plain_role")
            other.execute("select from chat_providers")
            sampler = LockSampler(plain, ["chat_providers"], "access exclusive")
            assert [holder.pid for holder in sampler.sample()] == [other.info.backend_pid]
            time.sleep(0.05)
            [holder] = sampler.sample()
            assert holder.since is None
            assert holder.age >= 0.05
    finally:
        other.execute("drop owned by plain_role; drop role plain_role")


def test_a_role_that_does_not_own_the_tables_is_told(url, other):
    other.execute("create role no_owner login")
    other.execute("grant usage on schema sexton to no_owner")
    other.execute("grant select, update on sexton.alembic_version to no_owner")
    try:
        theirs = psycopg.conninfo.make_conninfo(url, user="no_owner")
        with pytest.raises(WrongServer, match="no_owner does not own chat_") as raised:
            Working(theirs).result()
        assert raised.value.code == 4
    finally:
        other.execute("drop owned by no_owner; drop role no_owner")


def test_nothing_is_left_behind_of_its_settings(url, other):
    before = scalar(
        other, "select count(*) from pg_stat_activity where datname is not null"
    )
    assert Working(url).result() == ["0004"]
    now = "select count(*) from pg_stat_activity where datname is not null"
    until = time.monotonic() + 10
    while scalar(other, now) > before:
        assert time.monotonic() < until
    assert scalar(other, "select count(*) from pg_locks where locktype = 'advisory'") == 0


def test_a_downgrade_is_refused_under_the_lock_too(url, other):
    """Between the first look and the lock, a deletion may have come in."""
    add_provider(other, "openai")
    model = add_model(other, "openai")
    assert Working(url, downgrade, "0002").result() == ["0003"]
    with other.transaction():
        other.execute(
            """
            update chat_model_configs set deleted = true, deleted_at = now()
            where id = %s
            """,
            (model,),
        )
        working = Working(url, downgrade, "0001", max_stall=0.1)
        assert working.announced.wait(20)
    with pytest.raises(Refused, match="would come back to life"):
        working.result()
    assert scalar(other, "select count(*) from chat_model_configs where deleted") == 1
