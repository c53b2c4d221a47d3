"""Stop an embedded server when its last user has ended, however that ended.

A program of its own, for the standard library alone: `python watcher.py DIR PID`. Each
user of a server holds a shared lock on `users.lock`, which ends with the process; whoever
starts or stops the server holds `start.lock`.
"""

import fcntl
import json
import os
import signal
import sys
import time

from process import started  # type: ignore[import-not-found]  # beside this file

PATIENCE = 60  # seconds for a fast shutdown, before an immediate one


def main(directory: str, pid: int) -> None:
    """Wait until nobody uses the server, then stop it if it still is that one."""
    began = started(pid)
    users = os.open(os.path.join(directory, "users.lock"), os.O_RDONLY)
    start = os.open(os.path.join(directory, "start.lock"), os.O_RDONLY)
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        # Whoever joins holds start.lock and waits for users.lock: never hold both in turn.
        fcntl.flock(users, fcntl.LOCK_UN)
        fcntl.flock(start, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(start, fcntl.LOCK_UN)
            continue
        if _noted(directory) == (pid, began):
            _stop(pid, began)
        return


def _noted(directory: str) -> tuple[object, object]:
    try:
        with open(os.path.join(directory, "server.json"), encoding="utf-8") as file:
            noted = json.load(file)
        return noted["pid"], noted["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def _stop(pid: int, began: object) -> None:
    deadline = time.monotonic() + PATIENCE
    os.kill(pid, signal.SIGINT)
    while started(pid) == began:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGQUIT)
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
