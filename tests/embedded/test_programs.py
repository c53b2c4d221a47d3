"""The server's account gets what it must have, and no secret."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import psycopg

from sexton.embedded import Server
from tests.support.embedded import answer


def test_the_server_inherits_no_secret(ready, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "s3cret")
    with Server(ready) as server:
        environment = Path(f"/proc/{server.pid}/environ")
        if environment.exists():
            assert b"s3cret" not in environment.read_bytes()
        with psycopg.connect(server.url()) as connection:
            connection.execute("create temporary table said (line text)")
            connection.execute("copy said from program 'env'")
            lines = connection.execute("select line from said").fetchall()
    assert not [line for (line,) in lines if "s3cret" in line]


def test_only_root_opens_the_way_for_the_servers_account_and_says_so(directory, capfd):
    directory.parent.chmod(0o700)
    with Server(directory) as server:
        assert answer(server)
    root = os.geteuid() == 0
    assert stat.S_IMODE(directory.parent.stat().st_mode) == (0o701 if root else 0o700)
    said = f"may now pass through {directory.parent}" in capfd.readouterr().err
    assert said == root


if os.geteuid() == 0:  # only root can become another user

    def test_a_user_without_an_account_is_told():
        program = (
            "import os; from sexton.embedded.programs import account\n"
            "os.setuid(54321); account()"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert "ConnectionFailed: user id 54321 has no account" in done.stderr
