"""The embedded server starts with its first user and stops with its last."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from sexton.embedded import SUPERUSER, Server
from sexton.errors import ConnectionFailed


@pytest.fixture
def directory():
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name) / "db"


def answer(server):
    with psycopg.connect(server.url()) as connection:
        return connection.execute("select current_user, inet_server_addr()").fetchone()


def test_it_listens_on_a_socket_alone(directory):
    with Server(directory) as server:
        assert answer(server) == (SUPERUSER, None)


def test_the_last_to_leave_stops_it(directory):
    with Server(directory) as first:
        with Server(directory) as second:
            assert second.pid == first.pid
        assert answer(first)
    assert first.pid is None
    with pytest.raises(psycopg.OperationalError):
        answer(first)


def test_data_stays_between_runs(directory):
    with Server(directory) as server, psycopg.connect(server.url()) as connection:
        connection.execute("create table kept ()")
    with Server(directory) as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("select from kept").fetchall() == []


def test_a_killed_user_leaves_no_claim(directory):
    program = (
        "import os, sys; from pathlib import Path; from sexton.embedded import Server\n"
        "Server(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(directory)], check=False)
    with Server(directory) as server:
        assert answer(server)
    assert server.pid is None


def test_a_killed_server_starts_again(directory):
    with Server(directory) as server:
        server.stop(9)
        assert server.pid is None
        server.start()
        assert answer(server)


def test_a_long_path_still_gets_a_socket(directory):
    deep = directory.parent / ("long" * 20) / ("path" * 20) / "db"
    with Server(deep) as server:
        sockets = server.sockets
        assert answer(server)
    assert not sockets.exists()


def test_a_directory_of_somebody_elses_is_left_alone(directory):
    directory.mkdir()
    (directory / "precious").write_text("data")
    with pytest.raises(ConnectionFailed, match="neither empty nor"):
        Server(directory).__enter__()
    assert (directory / "precious").read_text() == "data"
    assert os.listdir(directory) == ["precious"]


def test_only_root_opens_the_way_for_the_servers_account_and_says_so(directory, capfd):
    directory.parent.chmod(0o700)
    with Server(directory) as server:
        assert answer(server)
    root = os.geteuid() == 0
    assert stat.S_IMODE(directory.parent.stat().st_mode) == (0o701 if root else 0o700)
    said = f"may now pass through {directory.parent}" in capfd.readouterr().err
    assert said == root


def test_a_server_that_cannot_start_says_why(directory):
    with pytest.raises(ConnectionFailed, match="did not start"):
        Server(directory, settings={"shared_buffers": "nonsense"}).__enter__()
