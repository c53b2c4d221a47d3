"""Blockers: which sessions a statement waits for, announced while it waits.

A thread beside the connection looks whether a statement has been under way for a while; it
then asks the server, on a connection of its own, who blocks it.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from sexton.errors import SextonError
from sexton.postgres.connect import Connection, another
from sexton.text.durations import duration
from sexton.text.printable import printable

log = logging.getLogger("sexton.waiting")
log.addHandler(logging.NullHandler())

FIRST_LOOK = 0.3  # seconds that a statement may take before anybody looks
LONGEST_PAUSE = 5.0  # seconds between two looks at one statement
ANNOUNCE_EVERY = 10.0

BLOCKERS = """
    select
        a.pid, a.usename::pg_catalog.text as role, a.application_name as application,
        a.state,
        pg_catalog.date_part(
            'epoch'::pg_catalog.text, pg_catalog.clock_timestamp() - a.xact_start
        ) as age
    from pg_catalog.unnest(pg_catalog.pg_blocking_pids(%s::pg_catalog.int4)) as b (pid)
    left join pg_catalog.pg_stat_activity a on a.pid = b.pid
    order by age desc nulls last, a.pid
    limit 3
"""


def sessions(found: list[dict[str, Any]]) -> str:
    """Blocking sessions in words."""
    said = []
    for row in found:
        if row["pid"] is None:
            said.append("a prepared transaction")
            continue
        who = f"pid {row['pid']}, {row['role'] or 'a role that is hidden'}"
        who += f" ({row['application']})" if row["application"] else ""
        who += f", {row['state']}" if row["state"] else ""
        who += f", {duration(row['age'])} old" if row["age"] is not None else ""
        said.append(printable(who))
    return "; ".join(said)


@contextlib.contextmanager
def watched(connection: Connection) -> Iterator["Watcher"]:
    """Announce whom the connection's statements wait for, for the time of the block."""
    watcher = Watcher(connection)
    try:
        yield watcher
    finally:
        watcher.end()


class Watcher:
    """A thread that looks at one connection of ours; `blockers` is what it saw last."""

    def __init__(self, connection: Any) -> None:
        self.blockers = ""
        self._connection = connection
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        # Behind a pooler, nobody can say which server process is at work.
        if connection.sexton_found.direct:
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(FIRST_LOOK):
            began = self._connection.busy_since
            if began is not None and time.monotonic() - began >= FIRST_LOOK:
                with contextlib.suppress(psycopg.Error, SextonError):
                    self._watch(began)

    def _watch(self, began: float) -> None:
        """Look at the statement that began then, until it ends."""
        announced, pause = -ANNOUNCE_EVERY, FIRST_LOOK
        pid = self._connection.info.backend_pid
        name = "sexton, looking for blocking sessions"
        with contextlib.closing(another(self._connection, name=name)) as beside:
            while self._connection.busy_since == began:
                found = beside.execute(BLOCKERS, (pid,)).fetchall()
                if found:
                    self.blockers = sessions(found)
                    now = time.monotonic()
                    if now - announced >= ANNOUNCE_EVERY:
                        announced = now
                        # logging.config.fileConfig, which most env.py files call,
                        # disables the loggers that exist. A level silences this one.
                        log.disabled = False
                        log.info("waiting for a lock held by %s", self.blockers)
                if self._ended.wait(pause):
                    return
                pause = FIRST_LOOK if found else min(2 * pause, LONGEST_PAUSE)
