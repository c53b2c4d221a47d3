"""Ownership: whether another account may change what is read or executed here.

A project file that is found unasked may name programs: checks, revisions and an env.py.
So the file, what it names, the folders above them and the symbolic links on the way are
asked, each without following it, whether an account other than ours and root owns them or
may write them.
"""

import functools
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from sexton.errors import UsageError
from sexton.text.printable import printable, shown

LINKS = 40  # as many symbolic links as Linux follows


def owner(status: os.stat_result) -> str:
    """The name of a file's owner."""
    try:
        return pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        return f"user {status.st_uid}"


def require_own(file: Path, *paths: Path) -> None:
    """Insist that nobody else may change the paths that a project file names.

    Of a folder, all that is in it counts. Raises UsageError.
    """
    for path in paths or (file,):
        if why := changeable(path, within=bool(paths)):
            raise UsageError(
                f"{shown(file)} is not read unasked: {why}",
                hint=f"if you trust it: sexton --config {shlex.quote(str(file))} …",
            )


def changeable(path: Path, *, within: bool = False, links: int = LINKS) -> str | None:
    """Who else may change what a path leads to, as a clause; None if nobody may.

    With `within`, also what a folder contains, to any depth.
    """
    if links == 0:
        return f"{printable(str(path))} is a circle of symbolic links"
    path = Path.cwd() / path
    for part in (*reversed(path.parents), path):
        try:
            status = os.lstat(part)
        except OSError:
            return None  # nothing is there that could be read
        if why := _others(part, status):
            return why
        if stat.S_ISLNK(status.st_mode):
            target = part.parent / os.readlink(part)
            if why := changeable(target, links=links - 1):
                return why
    if within and path.is_dir():
        for below in _below(path):
            if why := changeable(below, links=links - 1):
                return why
    return None


def _below(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder, followlinks=True):
        yield from (Path(at, name) for name in (*folders, *files))
        # A link may lead back here, or into a tree that is not the project's.
        folders[:] = [name for name in folders if not Path(at, name).is_symlink()]


def _others(path: Path, status: os.stat_result) -> str | None:
    said = printable(str(path))
    if status.st_uid not in (os.geteuid(), 0):
        return f"{said} belongs to another account, {owner(status)}"
    mode = status.st_mode
    if stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        return None  # in a sticky folder, only owners replace what is theirs
    if mode & stat.S_IWOTH:
        return f"every account may write {said}"
    if mode & stat.S_IWGRP and not _is_ours_alone(status.st_gid):
        return f"the group {_group(status.st_gid)} may write {said}"
    return None


def _group(number: int) -> str:
    try:
        return printable(grp.getgrgid(number).gr_name)
    except KeyError:
        return str(number)


@functools.cache
def _is_ours_alone(number: int) -> bool:
    """Whether a group has no member beside this account and root."""
    if number == 0:
        return True
    try:
        members = set(grp.getgrgid(number).gr_mem)
    except KeyError:
        return False
    trusted = (os.geteuid(), 0)
    for account in pwd.getpwall():
        if account.pw_uid in trusted:
            members.discard(account.pw_name)
        elif account.pw_gid == number:
            return False
    return not members
