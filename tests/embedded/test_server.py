"""The embedded server starts with its first user and stops with its last."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from sexton.embedded import SUPERUSER, Server
from sexton.errors import ConnectionFailed
from tests.support.embedded import answer


def test_it_listens_on_a_socket_alone(ready):
    with Server(ready) as server:
        assert answer(server) == (SUPERUSER, None)


def test_the_last_to_leave_stops_it(ready):
    with Server(ready) as first:
        with Server(str(ready)) as second:
            assert second.pid == first.pid
        assert answer(first)
    assert first.pid is None
    with pytest.raises(psycopg.OperationalError):
        answer(first)


def test_data_stays_between_runs(ready):
    with Server(ready) as server, psycopg.connect(server.url()) as connection:
        connection.execute("create table kept ()")
    with Server(ready) as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("select from kept").fetchall() == []


JOIN = """
import os, sys
from pathlib import Path
from sexton.embedded import Server
server = Server(Path(sys.argv[1]))  # the lock of a user ends with the object
server.__enter__()
print("in", flush=True)
sys.stdin.read()
"""


def user(directory):
    """Another process that uses the server."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOIN, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"in\n"
    return process


def until_stopped(server):
    deadline = time.monotonic() + 60
    while server.pid is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_stops_when_its_last_user_is_killed(ready, number):
    server = Server(ready)
    with user(ready) as first, user(ready) as second:
        assert answer(server)
        first.send_signal(number)
        first.wait()
        assert answer(server)
        second.send_signal(number)
    until_stopped(server)
    with Server(ready) as again:
        assert answer(again)
    assert again.pid is None


def test_a_killed_user_does_not_end_the_server_of_others(ready):
    with user(ready) as starter, Server(ready) as server:
        starter.kill()
        starter.wait()
        with user(ready) as joiner:
            assert answer(server)
            joiner.kill()
        assert answer(server)
    until_stopped(server)


def test_a_killed_server_starts_again(ready):
    with Server(ready) as server:
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


def test_an_interrupted_start_leaves_no_half_made_data(directory, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sexton.embedded.server.subprocess.run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Server(directory).__enter__()
    assert os.listdir(directory) == ["start.lock"]
    with Server(directory) as server:
        assert answer(server)


def test_a_server_that_does_not_end_is_said(ready, monkeypatch):
    monkeypatch.setattr("sexton.embedded.server.STOP_SECONDS", 0.2)
    server = Server(ready)
    with server:
        pid = server.pid
        signals = []
        with monkeypatch.context() as patch:
            # As a process that ignores what it is sent.
            patch.setattr(
                "sexton.embedded.server.os.kill", lambda *sent: signals.append(sent)
            )
            patch.setattr("sexton.embedded.server.DROP_SECONDS", 0.2)
            with pytest.raises(ConnectionFailed, match=f"process {pid}.*does not stop"):
                server.stop()
        assert signals == [(pid, signal.SIGINT), (pid, signal.SIGQUIT)]
        assert answer(server)


def test_a_server_that_cannot_start_says_why(directory):
    with pytest.raises(ConnectionFailed, match="did not start"):
        Server(directory, settings={"shared_buffers": "nonsense"}).__enter__()


if os.geteuid() == 0:  # who runs the server as another account, which may be hostile

    @pytest.fixture
    def used(ready):
        """A directory that has been used, and that is the server's account's again.

        As it was before only `data` and `socket` were given away.
        """
        with Server(ready) as server:
            account = server._account
        os.chown(ready, account.pw_uid, account.pw_gid)
        return ready, account

    def test_the_account_gets_data_and_socket_alone(directory):
        with Server(directory) as server:
            account = server._account
            owners = {entry.name: entry.stat().st_uid for entry in os.scandir(directory)}
        given = {name for name, owner in owners.items() if owner == account.pw_uid}
        assert given == {"data", "socket"}
        assert directory.stat().st_uid == 0
        assert stat.S_IMODE(directory.stat().st_mode) == 0o711
        assert stat.S_IMODE((directory / "log").stat().st_mode) == 0o600

    @pytest.mark.parametrize("name", ["start.lock", "users.lock", "log", "server.json"])
    def test_links_that_the_account_planted_are_refused(used, name):
        directory, account = used
        precious = directory.parent / "precious"
        precious.write_text("precious")
        (directory / name).unlink(missing_ok=True)
        (directory / name).symlink_to(precious)
        os.chown(directory / name, account.pw_uid, -1, follow_symlinks=False)
        with pytest.raises(ConnectionFailed, match=f"{name} belongs to"):
            Server(directory).__enter__()
        assert precious.read_text() == "precious"

    def test_a_hard_link_is_refused(used):
        directory, _ = used
        precious = directory.parent / "precious"
        precious.write_text("precious")
        (directory / "log").unlink()
        os.link(precious, directory / "log")
        with pytest.raises(ConnectionFailed, match="not ours alone"):
            Server(directory).__enter__()
        assert precious.read_text() == "precious"

    @pytest.mark.parametrize("name", ["data", "socket"])
    def test_a_link_is_never_given_away(used, name):
        directory, _ = used
        precious = directory.parent / "precious"
        precious.mkdir()
        shutil.rmtree(directory / name)
        (directory / name).symlink_to(precious)
        with pytest.raises(ConnectionFailed):
            Server(directory).__enter__()
        assert precious.stat().st_uid == 0

    def test_the_accounts_word_kills_no_process(ready):
        sleeper = subprocess.Popen(["sleep", "60"])
        try:
            with Server(ready) as server:
                file = server.data / "postmaster.pid"
                lines = file.read_text().splitlines()
                file.write_text("\n".join([str(sleeper.pid), *lines[1:]]))
                pid = server.pid
                assert pid != sleeper.pid
            assert sleeper.poll() is None
            assert not Path(f"/proc/{pid}").exists()
        finally:
            sleeper.kill()
            sleeper.wait()

    def test_a_fifo_for_a_pid_file_holds_nobody_up(ready):
        with Server(ready) as server:
            (server.data / "postmaster.pid").unlink()
            os.mkfifo(server.data / "postmaster.pid")
            assert not server._ready(server.pid)
            (server.data / "postmaster.pid").unlink()

    def test_a_directory_of_another_user_is_left_alone(directory):
        directory.mkdir()
        os.chown(directory, 12345, 12345)
        with pytest.raises(ConnectionFailed, match="belongs to user 12345"):
            Server(directory).__enter__()
        assert directory.stat().st_uid == 12345

    def test_another_users_privacy_is_not_given_away(directory):
        directory.parent.chmod(0o700)
        os.chown(directory.parent, 12345, 12345)
        with pytest.raises(ConnectionFailed, match="belongs to user 12345"):
            Server(directory).__enter__()
        assert stat.S_IMODE(directory.parent.stat().st_mode) == 0o700

    def test_a_socket_elsewhere_is_in_a_directory_of_ours(directory):
        deep = directory.parent / ("long" * 20) / ("path" * 20) / "db"
        with Server(deep) as server:
            assert server.sockets.parent.stat().st_uid == 0
            assert server.sockets.parent.name.startswith("sexton-")
            first = server.sockets
        with Server(deep) as server:
            assert server.sockets != first
        assert not first.parent.exists()
