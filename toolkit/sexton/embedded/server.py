"""One data directory, and the server that runs on it."""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from sexton.embedded import directory as directories
from sexton.embedded import programs as installation
from sexton.embedded import state
from sexton.embedded.process import started
from sexton.errors import ConnectionFailed
from sexton.text.printable import printable

SUPERUSER = "postgres"
WATCHER = Path(__file__).with_name("watcher.py")
# A Unix socket's path may have 107 bytes on Linux and 103 on macOS.
SOCKET_PATH_LIMIT = 103
START_SECONDS = 60
STOP_SECONDS = 60
DROP_SECONDS = 10  # for a server that is told to drop everything
LOCK_SECONDS = START_SECONDS + STOP_SECONDS


class Server:
    """One data directory and the server that runs on it.

    `settings` are server parameters, given on the command line at each start.
    `programs` is a PostgreSQL installation (the directory above `bin`); by default the
    wheel's.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        settings: Mapping[str, str] | None = None,
        programs: Path | None = None,
    ) -> None:
        self.directory = directories.located(Path(directory))
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.settings = dict(settings or {})
        self._programs = programs
        self._users: IO[str] | None = None
        self._watchers: list[subprocess.Popen[bytes]] = []
        self._account = installation.account()

    # -- what others need to know ----------------------------------------------------

    @property
    def sockets(self) -> Path:
        """The directory of the server's Unix socket."""
        elsewhere = state.read(self.directory).get("sockets")
        return Path(elsewhere) if elsewhere else self.directory / "socket"

    def url(self, database: str = "postgres") -> str:
        """A connection string for psycopg; it carries no password."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(
            host=str(self.sockets), port=5432, user=SUPERUSER, dbname=database
        )

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or None while it does not run.

        As we wrote it down when we started it: whoever owns the data directory could
        write any number into postmaster.pid, and have us stop that process.
        """
        noted = state.read(self.directory)
        pid, began = noted.get("pid"), noted.get("started")
        if isinstance(pid, int) and began is not None and started(pid) == began:
            return pid
        return None

    # -- starting and stopping ---------------------------------------------------------

    def __enter__(self) -> "Server":
        """Join the server, starting it (and making its data directory) if need be."""
        directories.prepare(self.directory, self._uid())
        with self._exclusive():
            if self.pid is None or not self._answers():
                if not (self.data / "PG_VERSION").exists():
                    self._init()
                self.start()
            self._users = self._open("users.lock")
            fcntl.flock(self._users, fcntl.LOCK_SH)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the server; the last one to leave stops it."""
        self._leave()
        while self._watchers:
            watcher = self._watchers.pop()
            if self.pid is None:
                watcher.wait(STOP_SECONDS)
            else:  # it waits for the other users; init reaps it
                watcher.returncode = 0

    def _leave(self) -> None:
        with self._exclusive():
            if self._users is None:
                return
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                self.stop()
            finally:
                self._users.close()
                self._users = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        sockets = self._make_sockets()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
            "port": "5432",
            **self.settings,
        }
        options = [part for k, v in settings.items() for part in ("-c", f"{k}={v}")]
        with self._open("log", os.O_APPEND) as log:
            process = subprocess.Popen(
                [self.program("postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is not for the server
                **self._identity(),
            )
        try:
            state.write(self.directory, process.pid, sockets)
            self._await(process)
        except BaseException:
            process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(DROP_SECONDS)
            process.kill()
            state.forget(self.directory, sockets)
            raise
        # The server outlives this process when others use it; it is not ours to reap.
        process.returncode = 0
        self._watch(process.pid)

    def _watch(self, pid: int) -> None:
        """Have the server stopped when its last user has ended, even if killed."""
        self._open("users.lock").close()
        watcher = subprocess.Popen(
            [sys.executable, "-E", "-s", "-S", WATCHER, self.directory, str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        self._watchers.append(watcher)

    def stop(self, signal_number: int = signal.SIGINT) -> None:
        """Stop the server: a fast shutdown, or the signal given, and wait for its end.

        A server that does not end in time is told to drop everything; if that does not
        help either, ConnectionFailed is raised.
        """
        pid, sockets = self.pid, self.sockets
        if pid is None:
            return
        for number, patience in (
            (signal_number, STOP_SECONDS),
            (signal.SIGQUIT, DROP_SECONDS),
        ):
            os.kill(pid, number)
            deadline = time.monotonic() + patience
            while self.pid == pid and time.monotonic() < deadline:
                time.sleep(0.005)
            if self.pid != pid:
                state.forget(self.directory, sockets)
                return
        raise ConnectionFailed(
            f"the embedded server in {printable(str(self.directory))} (process {pid}) "
            "does not stop",
            hint=f"its log is {printable(str(self.log))}",
        )

    # -- inside ------------------------------------------------------------------------

    def _await(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConnectionFailed(
                    f"the embedded server in {printable(str(self.directory))} did not "
                    f"start: {self._last_words()}",
                    hint=f"its log is {printable(str(self.log))}",
                )
            time.sleep(0.01)

    def _ready(self, pid: int) -> bool:
        lines = directories.read_foreign(self.data / "postmaster.pid").splitlines()
        # A killed server leaves its file behind, "ready" included.
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _answers(self) -> bool:
        """Whether somebody listens where it should."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(START_SECONDS)
            try:
                return client.connect_ex(str(self.sockets / ".s.PGSQL.5432")) == 0
            except OSError:  # the path is too long: it is not the one in use
                return False

    def _init(self) -> None:
        # Elsewhere first: what stands under the name `data` is whole, and ours.
        new = Path(tempfile.mkdtemp(prefix="data-", dir=self.directory))
        try:
            self._give(new)
            made = subprocess.run(
                [
                    self.program("initdb"),
                    *("-D", str(new), "-U", SUPERUSER, "-E", "UTF8"),
                    *("--locale=C", "--auth=trust", "--no-sync"),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                **self._identity(),
            )
            if made.returncode:
                said = made.stderr.strip().splitlines() or ["it said nothing"]
                raise ConnectionFailed(
                    "no embedded server could be made in "
                    f"{printable(str(self.directory))}: {printable(said[-1])}"
                )
            new.rename(self.data)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def _make_sockets(self) -> Path:
        state.forget(self.directory, self.sockets)  # a killed server's
        path = self.directory / "socket"
        # A comma would make two paths of it, for the server and for libpq.
        short = len(os.fsencode(path / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT
        if short and "," not in str(path):
            path.mkdir(mode=0o700, exist_ok=True)
        else:
            # In a directory of ours, so that the server's account cannot exchange it.
            # TMPDIR may be as long as DIR; /tmp is not.
            ours = Path(tempfile.mkdtemp(prefix="sexton-", dir=_short_directory()))
            ours.chmod(0o711 if self._account else 0o700)
            path = ours / "socket"
            path.mkdir(mode=0o700)
        self._give(path)
        return path

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._open("start.lock") as lock:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ConnectionFailed(
                            "another process has been starting the embedded server in "
                            f"{printable(str(self.directory))} for {LOCK_SECONDS} s",
                            hint="end that process, and try again",
                        ) from None
                    time.sleep(0.01)
            yield

    def _open(self, name: str, flags: int = 0) -> IO[str]:
        return open(
            directories.open_own(self.directory / name, os.O_WRONLY | flags),
            "w",
            encoding="utf-8",
        )

    def _identity(self) -> dict[str, Any]:
        how: dict[str, Any] = {"env": installation.environment(), "cwd": self.directory}
        if self._account is not None:
            # Without its own group the account would be judged by root's group bits.
            how |= {"user": self._account.pw_uid, "group": self._account.pw_gid}
            how["extra_groups"] = []
        return how

    def _uid(self) -> int:
        return self._account.pw_uid if self._account else os.geteuid()

    def _give(self, path: Path) -> None:
        if self._account is not None:
            directories.give(path, self._account.pw_uid, self._account.pw_gid)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return printable(lines[-1]) if lines else "it said nothing"

    def program(self, name: str) -> str:
        """The path of one of PostgreSQL's programs, as the server's account can run it."""
        programs = self._programs or installation.wheel()
        if self._account is not None and not installation.passable(programs):
            # For example a checkout below /root, which no other account may enter.
            programs = installation.copied(programs, self.directory / "programs")
        return str(programs / "bin" / name)


def _short_directory() -> str | None:
    """Where a socket's path is short enough: the temporary directory, else /tmp."""
    socket = Path(tempfile.gettempdir()) / "sexton-12345678" / "socket" / ".s.PGSQL.5432"
    return None if len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT else "/tmp"
