"""Files that others read while we write: replaced whole, never half.

What is no regular file (a device, a FIFO, the terminal) is written into and never
replaced; nor is anything followed or kept that somebody else may have put in the way.
"""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from sexton.errors import UsageError
from sexton.text.printable import printable

LINKS = 40  # as many symbolic links as Linux follows


def replace_file(file: Path, text: str | Iterable[str]) -> None:
    """Write a text, or its lines, under a temporary name and rename; raises UsageError.

    A file that is there keeps its mode and, where we may give it away, its owner.
    """
    lines = [text] if isinstance(text, str) else text
    try:
        with _opened(file) as handle:
            handle.writelines(lines)
    except UnicodeEncodeError as error:
        raise UsageError(
            f"cannot write {printable(str(file))}: UTF-8 has no "
            f"{error.object[error.start]!a}",
            hint="the text comes from an argument or a file name that is not UTF-8",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"cannot write {printable(str(file))}: {reason}",
            hint="name a file you may write",
        ) from None


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[IO[str]]:
    target = _follow(Path(os.path.abspath(file)))
    try:
        before = os.fstat(target) if isinstance(target, int) else os.lstat(target)
    except FileNotFoundError:
        before = None
    if isinstance(target, int):
        with open(os.dup(target), "w", encoding="utf-8") as handle:
            yield handle
    elif before and not stat.S_ISREG(before.st_mode):
        with open(_open_special(target), "w", encoding="utf-8") as handle:
            yield handle
    else:
        with _renamed(target, before) as handle:
            yield handle


@contextlib.contextmanager
def _renamed(target: Path, before: os.stat_result | None) -> Iterator[IO[str]]:
    if before:
        _refuse_planted(target, before)
    # Not tempfile's: for a new file the umask decides, and a name may have 255 bytes.
    temporary = target.parent / f".sexton-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    number = os.open(temporary, flags, 0o600 if before else 0o666)
    try:
        with open(number, "w", encoding="utf-8") as handle:
            if before:
                with contextlib.suppress(PermissionError):
                    os.fchown(number, before.st_uid, before.st_gid)
                os.fchmod(number, before.st_mode & 0o777)
            yield handle
            handle.flush()
            os.fsync(number)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _open_special(target: Path) -> int:
    number = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY)
    if stat.S_ISREG(os.fstat(number).st_mode):  # swapped since we looked
        os.close(number)
        raise OSError(0, "it changed while it was opened")
    return number


def _follow(path: Path) -> Path | int:
    """The file that a path leads to, or the number of the descriptor of ours it names.

    A symbolic link that others may have planted, in a directory that everybody may write,
    is refused, as Linux does where fs.protected_symlinks is set.
    """
    descriptor = re.compile(rf"/proc/(?:self|thread-self|{os.getpid()})/fd/(\d+)")
    for _ in range(LINKS):
        if found := descriptor.fullmatch(str(path)):
            return int(found[1])
        links = (p for p in (*reversed(path.parents), path) if p.is_symlink())
        link = next(links, None)
        if link is None:
            return path
        folder = os.stat(link.parent)
        owner = os.lstat(link).st_uid
        if _anybodys(folder) and owner not in (os.geteuid(), folder.st_uid):
            raise OSError(0, f"{printable(str(link))} is somebody else's symbolic link")
        path = link.parent / os.readlink(link) / path.relative_to(link)
    raise OSError(0, "too many symbolic links")


def _refuse_planted(target: Path, before: os.stat_result) -> None:
    """Refuse a file whose owner could change what we write into it, and is not us."""
    if before.st_uid == os.geteuid():
        return
    folder = os.stat(target.parent)
    trusted = (0, os.geteuid(), before.st_uid)
    if _anybodys(folder) or folder.st_uid not in trusted:
        raise OSError(0, "it belongs to somebody else, who could change it")


def _anybodys(folder: os.stat_result) -> bool:
    return bool(folder.st_mode & stat.S_IWOTH)
