"""The embedded server starts with its first user and stops with its last."""

import json
import os
import shutil
import signal
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
        with Server(str(directory)) as second:
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


def listing(directory):
    """Every path below a directory, with its owner and mode."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_uid, path.lstat().st_mode)
        for path in (directory, *directory.rglob("*"))
    }


@pytest.mark.parametrize(
    "scene", ["data of photos", "data is a file", "data and more", "a cluster of others"]
)
def test_nothing_of_others_is_touched(directory, scene):
    directory.mkdir()
    if scene == "data of photos":
        (directory / "data" / "photos").mkdir(parents=True)
        (directory / "data" / "thesis.txt").write_text("years of work")
    elif scene == "data is a file":
        (directory / "data").write_text("years of work")
    elif scene == "data and more":
        (directory / "data").mkdir()
        (directory / "thesis.txt").write_text("years of work")
    else:
        (directory / "data").mkdir()
        (directory / "data" / "PG_VERSION").write_text("18")
    before = listing(directory.parent)
    with pytest.raises(ConnectionFailed, match=r"neither empty nor|not the server's own"):
        Server(directory).__enter__()
    assert listing(directory.parent) == before


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


def test_a_file_is_no_directory(directory):
    directory.write_text("a file")
    with pytest.raises(ConnectionFailed, match="is no directory"):
        Server(directory).__enter__()
    assert directory.read_text() == "a file"


@pytest.mark.parametrize("name", ["~nobody_of_that_name/db", "\udc80", "x" * 300])
def test_a_name_that_cannot_be(directory, name):
    with pytest.raises(ConnectionFailed) as failure:
        Server(directory.parent / name if "~" not in name else Path(name)).__enter__()
    assert "\udc80" not in failure.value.message


@pytest.mark.parametrize(
    "name", ["my db", "e5 host=evil.example dbname=x", "a,b", "it's \\ it", "ä?x=1&y"]
)
def test_any_name_is_just_a_name(directory, name):
    with Server(directory.parent / name) as server:
        assert answer(server) == (SUPERUSER, None)


def test_the_server_inherits_no_secret(directory, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "s3cret")
    with Server(directory) as server:
        environment = Path(f"/proc/{server.pid}/environ")
        if environment.exists():
            assert b"s3cret" not in environment.read_bytes()
        with psycopg.connect(server.url()) as connection:
            connection.execute("create temporary table said (line text)")
            connection.execute("copy said from program 'env'")
            lines = connection.execute("select line from said").fetchall()
    assert not [line for (line,) in lines if "s3cret" in line]


@pytest.mark.parametrize(
    "said", ["", "garbled", "[]", '{"pid": "x"}', '{"pid": 1}', '{"pid": 99999999}']
)
def test_a_garbled_state_is_no_server(directory, said):
    with Server(directory):
        pass
    (directory / "server.json").write_text(said)
    with Server(directory) as server:
        assert answer(server)


def test_a_process_of_the_same_number_is_not_the_server(directory):
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        with Server(directory):
            pass
        state = {"pid": sleeper.pid, "started": "1", "sockets": None}
        (directory / "server.json").write_text(json.dumps(state))
        server = Server(directory)
        assert server.pid is None
        server.stop()
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_server_that_does_not_end_is_said(directory, monkeypatch):
    monkeypatch.setattr("sexton.embedded.server.STOP_SECONDS", 0.2)
    server = Server(directory)
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


if os.geteuid() == 0:  # who runs the server as another account, which may be hostile

    @pytest.fixture
    def used(directory):
        """A directory that has been used, and that is the server's account's again.

        As it was before only `data` and `socket` were given away.
        """
        with Server(directory) as server:
            account = server._account
        os.chown(directory, account.pw_uid, account.pw_gid)
        return directory, account

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

    def test_the_accounts_word_kills_no_process(directory):
        sleeper = subprocess.Popen(["sleep", "60"])
        try:
            with Server(directory) as server:
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

    def test_a_fifo_for_a_pid_file_holds_nobody_up(directory):
        with Server(directory) as server:
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
