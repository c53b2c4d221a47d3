"""The directory of an embedded server: made, recognised, and never trusted blindly.

All in it but `data` and `socket` belongs to whoever runs Sexton. What somebody else has
put there is refused, and nothing that was not made here is removed.
"""

import os
import stat
from pathlib import Path

from sexton.embedded import programs
from sexton.errors import ConnectionFailed
from sexton.ownership import owner
from sexton.text.printable import printable

GIVEN = ("data", "socket")  # to the server's account
FIRST = "start.lock"  # what is made first, an empty file
OURS = (*GIVEN, FIRST, "users.lock", "log", "server.json", "programs")
NEW = "name a new directory: --url embedded:NEW_DIR"


def located(directory: Path) -> Path:
    """The directory without symbolic links; raises ConnectionFailed for no such name."""
    try:
        found = Path(os.path.realpath(directory.expanduser()))
        str(found).encode()
    except (RuntimeError, ValueError):
        raise ConnectionFailed(
            f"{printable(str(directory))} cannot be the name of an embedded server's "
            "directory",
            hint=NEW,
        ) from None
    return found


def prepare(directory: Path, server_uid: int) -> None:
    """Make the directory, or make sure that it is one of ours; raises ConnectionFailed."""
    try:
        try:
            directory.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            _recognise(directory, server_uid)
        if server_uid != os.geteuid():
            os.chown(directory, os.geteuid(), os.getegid())
            directory.chmod(0o711)
            programs.let_pass(directory)
    except OSError as error:
        raise ConnectionFailed(
            f"cannot use the directory {printable(str(directory))}: {error.strerror}",
            hint="name a directory you may write: --url embedded:DIR",
        ) from None


def _recognise(directory: Path, server_uid: int) -> None:
    if not directory.is_dir():
        raise _refusal(directory, "is no directory")
    status = directory.stat()
    if status.st_uid not in (os.geteuid(), server_uid):
        raise _refusal(directory, f"belongs to {owner(status)}")
    names = set(os.listdir(directory))
    data = directory / "data"
    if "data" in names:
        if not (data / "PG_VERSION").exists() and (data.is_file() or any(data.iterdir())):
            raise _refusal(directory, "is neither empty nor an embedded server's")
        if data.is_symlink() or data.stat().st_uid != server_uid:
            raise _refusal(data, "is not the server's own directory")
    unfinished = {name for name in names if name.startswith(("data-", "programs-"))}
    strange = names - set(OURS) - unfinished
    if names and not _is_lock(directory / FIRST):
        raise _refusal(directory, "is neither empty nor an embedded server's")
    if strange and not (data / "PG_VERSION").exists():
        raise _refusal(directory, "is neither empty nor an embedded server's")
    for name in names.intersection(OURS).difference(GIVEN):
        found = os.lstat(directory / name)
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
            raise _refusal(directory / name, f"belongs to {owner(found)}, or is a link")


def _is_lock(path: Path) -> bool:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    # Whose a link is will be asked.
    empty = stat.S_ISREG(found.st_mode) and found.st_size == 0
    return empty or stat.S_ISLNK(found.st_mode)


def _refusal(path: Path, what: str) -> ConnectionFailed:
    return ConnectionFailed(f"{printable(str(path))} {what}; nothing was changed", hint=NEW)


def give(path: Path, uid: int, gid: int) -> None:
    """Give a directory of ours to the server's account."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), uid):
        raise _refusal(path, "is not the server's own directory")
    os.chown(path, uid, gid, follow_symlinks=False)


def open_own(path: Path, flags: int) -> int:
    """Open, or make, a file that nobody else can have put there."""
    number = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    found = os.fstat(number)
    own = found.st_uid == os.geteuid() and found.st_nlink == 1
    if not stat.S_ISREG(found.st_mode) or not own:
        os.close(number)
        raise _refusal(path, "is not ours alone")
    return number


def read_foreign(path: Path, limit: int = 4096) -> str:
    """The beginning of a file in a directory that is not ours; empty if it is no file."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return ""
        return os.read(number, limit).decode(errors="replace")
    finally:
        os.close(number)
