"""One at a time, per database and schema; whoever holds the lock is named."""

import contextlib

import pytest
from psycopg import conninfo

from sexton.database import UPGRADE, connect, rows, scalar
from sexton.ddl.options import Options
from sexton.ddl.upgrade_lock import lock_key, upgrade_lock
from sexton.errors import Busy


def test_a_stranger_who_holds_the_key_is_named_and_how_to_end_it(connection, url):
    with contextlib.closing(connect(url, name="psql")) as stranger:
        stranger.execute("select pg_advisory_lock(%s)", (UPGRADE,))
        with (
            pytest.raises(Busy, match="does not look like Sexton") as raised,
            upgrade_lock(connection, Options(deadline=0.3)),
        ):
            pass
        pid = stranger.info.backend_pid
        assert f"pid {pid}, postgres (psql)" in raised.value.message
        assert f"select pg_terminate_backend({pid})" in str(raised.value.hint)


def test_no_timeout_of_a_role_ends_whoever_holds_it(url, connection):
    there = rows(connection, "select name from pg_settings where name like '%\\_timeout'")
    timeouts = {"idle_session_timeout", "statement_timeout", "lock_timeout"}
    timeouts &= {row["name"] for row in there}
    options = " ".join(f"-c {name}=1min" for name in timeouts)
    strict = conninfo.make_conninfo(url, options=options)
    with (
        contextlib.closing(connect(strict, name="tests")) as asking,
        upgrade_lock(asking, Options(deadline=1)) as own,
    ):
        assert {scalar(own, f"show {name}") for name in timeouts} == {"0"}


def test_databases_do_not_wait_for_each_other(connection, database):
    with (
        contextlib.closing(connect(database("empty"), name="tests")) as other,
        upgrade_lock(connection, Options(deadline=1)),
        upgrade_lock(other, Options(deadline=1)),
        pytest.raises(Busy, match="another upgrade is at work"),
        upgrade_lock(other, Options(deadline=0.3)),
    ):
        pass


def test_schemas_do_not_wait_for_each_other(connection):
    assert lock_key("sexton") == UPGRADE
    assert len({lock_key(name) for name in ("sexton", "tenant_1", "tenant_2")}) == 3
    with (
        upgrade_lock(connection, Options(deadline=1), "tenant_1"),
        upgrade_lock(connection, Options(deadline=1), "tenant_2"),
        pytest.raises(Busy, match="another upgrade is at work"),
        upgrade_lock(connection, Options(deadline=0.3), "tenant_1"),
    ):
        pass
