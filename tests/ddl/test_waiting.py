"""Nobody queues behind an upgrade, and it gets through all the same."""

import contextlib
import re
import threading
import time
from typing import Any

import psycopg
import pytest

from sexton.database import connect, scalar
from sexton.errors import Busy
from tests.support.project import above
from tests.support.waiting import Readers, Working

IDLE = 4.0  # seconds in which an idle transaction holds a lock


@pytest.mark.parametrize("table", ["chat_providers", "chat_model_configs"])
def test_an_idle_reader_is_waited_for_outside_the_queue(keyed, application, table):
    with Readers(keyed) as readers, application.transaction():
        application.execute(f"select * from {table}")
        working = Working(keyed, max_stall=0.2)
        assert working.announced.wait(60)
        assert f"access share on {table}" in working.said[0]
        assert (
            f"pid {application.info.backend_pid}, postgres (application)" in working.said[0]
        )
        # An attempt queues for max_stall; between two attempts, nobody does.
        queued = "select count(*) from pg_locks where not granted and locktype = 'relation'"
        until = time.monotonic() + 60
        while scalar(application, queued):
            assert time.monotonic() < until
        readers.times.clear()
        working.join(IDLE)
        assert working.is_alive()
        longest = max(readers.times)
    assert working.result() == above("0003")
    assert longest < IDLE  # in the queue they would wait as long as the idle one


def test_at_the_deadline_it_says_who_when_and_what_to_type(keyed, application, sexton):
    with application.transaction():
        application.execute("select 'a secret' from chat_model_configs")
        sexton.url = keyed
        result = sexton("upgrade", "--max-stall", "100ms", "--deadline", "700ms")
        shown = sexton(
            *("upgrade", "--max-stall", "100ms", "--deadline", "700ms", "--show-queries")
        )
    assert result.code == 6
    assert re.search(
        rf"held by pid {application.info.backend_pid}, postgres \(application\), "
        r"idle in transaction, [\d.]+ m?s old, holds access share on chat_model_configs",
        result.stderr,
    )
    assert "no access exclusive lock on chat_providers, chat_model_configs" in result.stderr
    # Who is in the way comes before what was tried.
    said = result.stderr
    assert said.index("held by") < said.index("made nobody wait") < said.index("is at 0003")
    assert "--terminate-idle-older-than" in result.stderr
    assert "a secret" not in result.stderr
    assert "a secret" in shown.stderr


def test_an_idle_transaction_is_ended_only_where_asked(keyed, application):
    application.execute("begin")
    application.execute("select from chat_providers")
    working = Working(keyed, max_stall=0.1, terminate_idle_older_than=0.3)
    assert working.result() == above("0003")
    assert any(line.startswith("ended pid") for line in working.said)
    with pytest.raises(psycopg.OperationalError):
        application.execute("select 1")


def test_an_active_session_is_never_ended(keyed, application):
    lock: Any = "select pg_advisory_{}lock(1)"
    with connect(keyed, name="holder") as holder, application.transaction():
        holder.execute(lock.format(""))
        application.execute("select from chat_providers")
        active = threading.Thread(target=application.execute, args=(lock.format("xact_"),))
        active.start()
        working = Working(keyed, max_stall=0.1, deadline=0.6, terminate_idle_older_than=0.1)
        with pytest.raises(Busy):
            working.result()
        holder.execute(lock.format("un"))
        active.join()
        assert scalar(application, "select 1") == 1


def test_steady_transactions_of_hundreds_of_milliseconds_do_not_starve_it(keyed):
    stopped = threading.Event()

    def work(nap):
        with contextlib.closing(connect(keyed, name="steady")) as connection:
            while not stopped.is_set():
                with connection.transaction():
                    connection.execute("select from chat_model_configs")
                    connection.execute("select pg_sleep(%s)", (nap,))

    threads = [threading.Thread(target=work, args=(0.1 + n / 20,)) for n in range(8)]
    for thread in threads:
        thread.start()
    try:
        assert Working(keyed).result() == above("0003")
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
