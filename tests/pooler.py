"""Behind PgBouncer in transaction mode: `make test-pooler`.

Not collected with the others, for PgBouncer is a program of its own; no test is skipped.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from tests.tools import Cli, add_model, add_provider
from toolkit.database import connect
from toolkit.drift import drift
from toolkit.schema import revision
from toolkit.upgrade import upgrade

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(params=["transaction", "session"])
def pooler(request):
    """Return a function from a database's address to the same behind a pooler."""
    assert PROGRAM, "pgbouncer is not installed: make test-pooler"
    with contextlib.ExitStack() as stack:

        def behind(address):
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            directory.chmod(0o755)
            parts = conninfo.conninfo_to_dict(address)
            port = free_port()
            (directory / "users").write_text(f'"{parts["user"]}" ""\n')
            server = " ".join(f"{k}={parts[k]}" for k in ("host", "port") if parts.get(k))
            (directory / "ini").write_text(
                f"[databases]\n* = {server}\n[pgbouncer]\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
                f"auth_type = trust\nauth_file = {directory}/users\n"
                f"pool_mode = {request.param}\n"
            )
            # Like PostgreSQL it refuses to run as root; it becomes the server's owner.
            owner = ["-u", "postgres"] if os.geteuid() == 0 else []
            process = subprocess.Popen(
                [PROGRAM, "-q", *owner, str(directory / "ini")],
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            through = conninfo.make_conninfo(address, host="127.0.0.1", port=port)
            deadline = time.monotonic() + 10
            while True:
                try:
                    psycopg.connect(through).close()
                    return through
                except psycopg.OperationalError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.02)

        yield behind


def test_a_schema_change_is_refused_with_the_fix(database, pooler, capfd):
    direct = database("0001")
    result = Cli(pooler(direct), capfd)("upgrade", "--format", "json")
    assert result.code == 4
    assert "goes through a pooler" in result.json["error"]["message"]
    assert "connect to PostgreSQL itself" in result.json["error"]["hint"]
    with contextlib.closing(connect(direct, name="tests")) as connection:
        assert revision(connection) == "0001"
        upgrade(connection, direct)
        assert drift(connection) == []


def test_everything_else_works(url, pooler, capfd):
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "google")
        add_provider(connection, "openai")
        add_model(connection, "google")
        add_model(connection, "openai", is_default=True)
        add_model(connection, "vercel")
    through = Cli(pooler(url), capfd)
    assert through("status").code == 0
    assert through("audit").code == 1
    assert through("provider", "delete", "openai").code == 0
    assert through("repair", "--apply").code == 0
    assert through("audit").code == 0
