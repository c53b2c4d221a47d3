"""What is written down of a running server, in a file that only we can write."""

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from sexton.embedded.directory import read_foreign
from sexton.embedded.process import started
from sexton.files import replace_file

NAME = "server.json"


def write(directory: Path, pid: int, sockets: Path) -> None:
    """Note the postmaster, when it started, and where its socket is, if elsewhere."""
    elsewhere = None if sockets.parent == directory else str(sockets)
    noted = {"pid": pid, "started": started(pid), "sockets": elsewhere}
    replace_file(directory / NAME, json.dumps(noted))


def read(directory: Path) -> dict[str, Any]:
    """What was noted; empty where nothing was, or nothing that can be believed."""
    file = directory / NAME
    try:
        status = os.lstat(file)
        if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
            return {}
        noted = json.loads(read_foreign(file))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def forget(directory: Path, sockets: Path) -> None:
    """Remove what was noted, and the socket's directory elsewhere."""
    (directory / NAME).unlink(missing_ok=True)
    if sockets.parent != directory:
        shutil.rmtree(sockets.parent, ignore_errors=True)
