"""Processes: whether one still runs, and is the one that we mean."""

import contextlib
import os
import subprocess
from pathlib import Path


def started(pid: int) -> str | None:
    """When a process started, in the system's own terms; None if it does not run.

    With its number it tells a process from a later one of the same number.
    """
    # A child of ours stays a zombie until it is reaped.
    with contextlib.suppress(ChildProcessError, OverflowError):
        os.waitpid(pid, os.WNOHANG)
    if Path("/proc/self/stat").exists():
        try:
            line = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        state, *fields = line.rpartition(")")[2].split()
        return None if state in ("Z", "X") else fields[18]
    said = subprocess.run(  # macOS
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split(maxsplit=1)
    return None if not said or said[0].startswith("Z") else said[1].strip()
