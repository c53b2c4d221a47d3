"""Behind PgBouncer in transaction mode Sexton refuses, and says what to do.

Run by `make test-pooler`, which installs pgbouncer; not part of the default suite.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg
import pytest

from sexton.catalog import schema
from sexton.cli import run
from sexton.database import connect, database, rows
from sexton.embedded import Server
from sexton.postgres import session
from sexton.upgrade.run import upgrade
from tests.support.own_environment import SOFTEN, TABLES, Environment
from tests.support.project import HEAD

PORT = 6499
CONFIG = """
[databases]
postgres = host={sockets} port=5432 user=postgres
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {directory}
auth_type = any
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = 2
admin_users = postgres
logfile = {directory}/log
pidfile = {directory}/pid
"""


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path / "db", settings={"fsync": "off"}) as started:
        yield started


@pytest.fixture
def pooled(server, tmp_path):
    """The connection string of a PgBouncer before the server."""
    program = shutil.which("pgbouncer")
    assert program, "install pgbouncer: make test-pooler does"
    directory = tmp_path / "pgbouncer"
    directory.mkdir()
    (directory / "users").write_text('"postgres" ""\n')
    (directory / "ini").write_text(
        CONFIG.format(sockets=server.sockets, directory=directory, port=PORT)
    )
    ids: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        for path in (directory, *directory.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
        server.sockets.chmod(0o755)
        ids = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    process = subprocess.Popen([program, "-q", str(directory / "ini")], **ids)
    url = f"host={directory} port={PORT} user=postgres dbname=postgres"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert process.poll() is None, (directory / "log").read_text()
                assert time.monotonic() < until
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("command", [["upgrade"], ["downgrade", "0003"]])
def test_it_is_refused_with_the_fix_and_nothing_changes(server, pooled, capfd, command):
    with contextlib.closing(connect(server.url(), name="tests")) as connection:
        upgrade(connection, "0003" if command == ["upgrade"] else HEAD)
        before = schema.revision(connection)
        assert run([*command, "--url", pooled]) == 4
        assert "a connection pooler stands between" in capfd.readouterr().err
        assert schema.revision(connection) == before
        locks = "select count(*) from pg_locks where locktype = 'advisory'"
        assert connection.execute(locks).fetchone() == {"count": 0}


def test_a_plan_through_the_pooler_says_that_it_is_refused_there(server, pooled, capfd):
    with contextlib.closing(connect(server.url(), name="tests")) as connection:
        upgrade(connection, "0003")
    for command in ("upgrade --plan", "guard add --plan", "downgrade 0002 --plan"):
        capfd.readouterr()
        assert run([*command.split(), "--url", pooled]) == 4, command
        said = capfd.readouterr().out
        assert "refused here: a connection pooler stands between" in said, command
        assert "next: name the server itself" in said, command


LOOKS = """
    upgrade --plan; guard add --plan; guard add --sql; guard status; status; audit; repair;
    adopt; adopt --apply; upgrade; downgrade 0002; downgrade 0002 --plan; upgrade --sql
"""
MINE = """
    select array_agg(name || '=' || setting order by name) as settings from pg_settings
    where name in (
        'search_path', 'row_security', 'default_transaction_read_only', 'statement_timeout',
        'lock_timeout', 'idle_session_timeout', 'standard_conforming_strings'
    )
"""


def test_nobody_beside_it_gets_its_settings(server, pooled):
    """What a pooler's client sets for its session, the next one has."""
    with contextlib.closing(connect(server.url(), name="tests")) as connection:
        connection.execute("alter role postgres set idle_session_timeout = '10min'")
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        upgrade(connection, "0003")
    seen: set[str] = set()
    ended = threading.Event()

    def look():
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as other:
            while not ended.is_set():
                seen.add(str(other.execute(MINE).fetchone()))

    # More clients than the pool has sessions, so that each meets the command's.
    others = [threading.Thread(target=look) for _ in range(3)]
    for other in others:
        other.start()
    try:
        for command in LOOKS.split(";"):
            assert run([*command.split(), "--url", pooled]) in (0, 1, 4), command
            assert len(seen) == 1, command
    finally:
        ended.set()
        for other in others:
            other.join()


def test_a_plan_of_a_teams_own_environment_is_refused(
    server, pooled, tmp_path, capfd, monkeypatch
):
    """Its env.py may do whatever it likes with a session that is others' too."""
    team = Environment(tmp_path / "team")
    team.add("0001", None, SOFTEN)
    monkeypatch.chdir(team.folder)
    with contextlib.closing(connect(server.url(), name="tests")) as connection:
        connection.execute(TABLES)
        for command in ("upgrade --plan", "upgrade", "status"):
            assert run([*command.split(), "--url", pooled]) == 4, command
            said = capfd.readouterr().err
            assert "a connection pooler stands between" in said, command
            assert "next: name the server itself, host and port, in --url" in said
        assert run(["upgrade", "--plan", "--url", server.url()]) == 1
        found = connection.execute("select to_regclass('alembic_version') as made")
        assert found.fetchone() == {"made": None}


@pytest.mark.parametrize("command", [["upgrade", "head"], ["current"]])
def test_plain_alembic_is_refused_too(server, pooled, command):
    parameters = dict(part.split("=", 1) for part in pooled.split())
    environment = os.environ | {
        "PGHOST": parameters["host"],
        "PGPORT": parameters["port"],
        "PGUSER": "postgres",
        "PGDATABASE": "postgres",
    }
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "a connection pooler stands between" in done.stdout + done.stderr
    with contextlib.closing(connect(server.url(), name="tests")) as connection:
        assert schema.revision(connection) is None


def test_a_read_outside_a_transaction_waits_for_no_lock_without_end(
    server, pooled, monkeypatch
):
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "200ms")
    with psycopg.connect(server.url()) as holder, database(pooled) as connection:
        holder.execute("create table held ()")
        holder.commit()
        holder.execute("lock table held in access exclusive mode")
        # The longer limit ends the test if the shorter one is missing.
        connection.execute("alter system set statement_timeout = '20s'")
        connection.execute("select pg_reload_conf()")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            rows(connection, "select from held")
