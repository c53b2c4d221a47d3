"""All tables at once, and whoever holds one is not harmed."""

import contextlib
import threading
import time

import psycopg

from sexton.database import connect, scalar
from sexton.embedded import Server
from sexton.upgrade.run import downgrade, upgrade
from tests.support.project import above, down_to
from tests.support.tools import add_model, add_provider
from tests.support.waiting import Readers, Working


def test_writers_from_parent_to_child_never_deadlock_with_it(keyed, application):
    add_provider(application, "openai")
    add_model(application, "openai")
    stopped, errors, done = threading.Event(), [], []

    def write():
        with contextlib.closing(connect(keyed, name="writer")) as connection:
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
            assert Working(keyed, deadline=20).result() == above("0003")
            assert Working(keyed, downgrade, "0003", deadline=20).result() == down_to(
                "0003"
            )
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert done


def test_autovacuum_is_sent_away_without_stalling_others(tmp_path):
    """Its lock is SHARE UPDATE EXCLUSIVE, and it yields a second after it is in the way."""
    settings = {"fsync": "off", "autovacuum_naptime": "1s"}
    with (
        Server(tmp_path / "db", settings=settings) as server,
        contextlib.closing(connect(server.url(), name="application")) as other,
    ):
        upgrade(other, "0003")
        other.execute(DEAD_ROWS)
        until = time.monotonic() + 60
        while not scalar(other, VACUUMING):
            assert time.monotonic() < until, "autovacuum did not start"
            time.sleep(0.02)
        with Readers(server.url()) as readers:
            assert Working(server.url()).result() == above("0003")
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
