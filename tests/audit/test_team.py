"""Several connections look at one snapshot, and one may break."""

import _thread
import contextlib
import threading
import uuid

import psycopg
import pytest

from sexton.audit.outcome import Outcome
from sexton.database import scalar
from sexton.postgres.connect import OwnConnection
from tests.support.audits import own, run
from tests.support.tools import add_chat, add_provider, second_connection


def test_all_connections_see_one_snapshot(url, connection):
    checks = [
        own(f"seen_{n}", "select 'x' || pg_current_snapshot()::text as seen", ("seen",))
        for n in range(6)
    ]
    met = threading.Barrier(3, timeout=30)
    workers: set[int] = set()

    def commit():
        with contextlib.closing(second_connection(url)) as other:
            add_provider(other, "openai")

    def watch(what):
        # Each connection takes its first check, and a commit comes between the looks.
        me = threading.get_ident()
        if isinstance(what, Outcome) and me not in workers:
            workers.add(me)
            if met.wait() == 0:
                commit()

    outcomes = run(
        connection, *checks, connect=lambda: second_connection(url), watch=watch, jobs=3
    )
    seen = {outcome.findings[0].key["seen"] for outcome in outcomes.values()}
    assert len(workers) == 3
    assert len(seen) == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_connection_that_breaks_leaves_a_truthful_report(url, free, jobs):
    def watch(what):
        if isinstance(what, str) and what == "default_disabled":
            with contextlib.closing(second_connection(url)) as other:
                other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name like 'sexton audit %' "
                    "and datname = current_database()"
                )

    outcomes = run(
        free,
        *("default_missing", "default_disabled", "no_live_model"),
        connect=lambda: second_connection(url),
        watch=watch,
        jobs=jobs,
    )
    assert outcomes["default_missing"].status in ("pass", "incomplete")
    assert "incomplete" in {outcome.status for outcome in outcomes.values()}
    assert all(o.reason for o in outcomes.values() if o.status == "incomplete")


def test_an_interrupt_ends_a_statement_that_had_not_begun(url, free, monkeypatch):
    """The first cancel finds the connection idle, and ends nothing."""
    cancelled, cancel = threading.Event(), OwnConnection.cancel_safe
    execute = psycopg.Cursor.execute

    def noted(self, **options):
        cancel(self, **options)
        cancelled.set()

    def late(self, query, *more, **options):
        if "pg_sleep" in str(query) and not cancelled.is_set():
            _thread.interrupt_main()
            assert cancelled.wait(60)
        return execute(self, query, *more, **options)

    monkeypatch.setattr(OwnConnection, "cancel_safe", noted)
    monkeypatch.setattr(psycopg.Cursor, "execute", late)
    began = scalar(free, "select clock_timestamp()")
    slow = own("slow", "select n from (select 1 as n, pg_sleep(20)) s", ("n",))
    outcomes = run(
        free, slow, "default_missing", connect=lambda: second_connection(url), jobs=2
    )
    assert cancelled.is_set()
    assert outcomes["slow"].status == "incomplete"
    with contextlib.closing(second_connection(url)) as other:
        took = scalar(other, f"select clock_timestamp() - '{began}'::timestamptz")
    assert took.total_seconds() < 20


def test_of_a_team_one_may_break_and_the_others_look_twice(url, free):
    add_chat(free, uuid.uuid4())
    worker = second_connection(url)
    both = threading.Barrier(2)

    def watch(what):
        if isinstance(what, str) and what.startswith("slow") and both.wait(60) == 0:
            killer.start()

    def kill():
        with contextlib.closing(second_connection(url)) as other:
            other.execute("select pg_terminate_backend(%s)", (worker.info.backend_pid,))

    killer = threading.Timer(0.2, kill)
    sleep = "select n from generate_series(1, 1) n where length(pg_sleep(0.6)::text) > n"
    slow = [own(name, sleep, ("n",)) for name in ("slow_1", "slow_2")]
    outcomes = run(
        *(free, *slow, "chat_without_model"),
        connect=lambda: worker,
        watch=watch,
        jobs=2,
        confirm_after=0.1,
    )
    killer.join()
    assert sorted(outcomes[check.name].status for check in slow) == ["incomplete", "pass"]
    assert outcomes["chat_without_model"].status == "fail"
