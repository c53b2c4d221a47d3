"""Blocking sessions: who holds a lock, and which sessions a statement waits for.

A thread beside the connection looks whether a statement has been under way for a while; it
then asks the server, on a connection of its own, who blocks it.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from sexton.errors import SextonError
from sexton.postgres.connect import Connection, another
from sexton.postgres.session import rows
from sexton.text.durations import duration
from sexton.text.printable import printable

log = logging.getLogger("sexton.waiting")
log.addHandler(logging.NullHandler())

FIRST_LOOK = 0.3  # seconds that a statement may take before anybody looks
LONGEST_PAUSE = 5.0  # seconds between two looks at one statement
ANNOUNCE_EVERY = 10.0

HIDDEN = "what it does is hidden from this role"
MODE_NAMES = {
    f"{name.title().replace(' ', '')}Lock": name
    for name in (
        *("access share", "row share", "row exclusive", "share update exclusive"),
        *("share", "share row exclusive", "exclusive", "access exclusive"),
    )
}
WRITING = tuple(MODE_NAMES)[1:]  # the lock modes that come with locked rows

# A prepared transaction has no pid, so it would vanish in a join with pg_stat_activity.
SESSIONS = """
    with found as (
        select l.pid, l.virtualtransaction as "transaction", l.mode,
               c.relname::pg_catalog.text as "table"
        from pg_catalog.pg_locks l
        left join pg_catalog.pg_class c on l.locktype = 'relation' and c.oid = l.relation
        where l.granted
          and l.pid is distinct from pg_catalog.pg_backend_pid()
          and l.database = (
              select d.oid from pg_catalog.pg_database d
              where d.datname = pg_catalog.current_database()
          )
          and (
              l.locktype = 'relation'
              and l.relation = any (%(tables)s::pg_catalog.oid[])
              and l.mode = any (%(modes)s::pg_catalog.text[])
              or l.locktype = 'advisory'
              and l.classid = %(high)s::pg_catalog.oid
              and l.objid = %(low)s::pg_catalog.oid
              and l.objsubid = 1::pg_catalog.int2
          )
        union all
        select b.pid, null::pg_catalog.text, null::pg_catalog.text, null::pg_catalog.text
        from pg_catalog.unnest(pg_catalog.pg_blocking_pids(%(blocked)s)) as b (pid)
        where b.pid <> 0::pg_catalog.int4
        union all
        select null::pg_catalog.int4, h.virtualtransaction, null::pg_catalog.text,
               null::pg_catalog.text
        from pg_catalog.pg_locks w
        join pg_catalog.pg_locks h
          on h.pid is null and h.granted and h.locktype = w.locktype
         and (h.relation = w.relation or h.transactionid = w.transactionid)
        where w.pid = %(blocked)s and not w.granted
          and 0::pg_catalog.int4 = any (pg_catalog.pg_blocking_pids(%(blocked)s))
    )
    select
        f.pid, p.gid, coalesce(a.usename, p.owner)::pg_catalog.text as "user",
        a.application_name as application, a.client_addr::pg_catalog.text as host, a.state,
        a.backend_type as backend, coalesce(a.xact_start, p.prepared) as since,
        pg_catalog.date_part(
            'epoch'::text, pg_catalog.clock_timestamp() - coalesce(a.xact_start, p.prepared)
        ) as age,
        pg_catalog.date_part(
            'epoch'::text, pg_catalog.clock_timestamp() - a.state_change
        ) as idle,
        a.query, f.transaction, f.locks
    from (
        select pid, "transaction", pg_catalog.array_agg(array[mode, "table"]) as locks
        from found group by pid, "transaction"
    ) f
    left join pg_catalog.pg_stat_activity a on a.pid = f.pid
    left join pg_catalog.pg_locks t
      on f.pid is null
     and t.pid is null
     and t.locktype = 'transactionid'
     and t.virtualtransaction = f.transaction
    left join pg_catalog.pg_prepared_xacts p on p.transaction = t.transactionid
    order by age desc nulls last, f.pid
"""


@dataclass(frozen=True)
class BlockingSession:
    """A session, or a prepared transaction, that holds locks others may wait for.

    Without pg_read_all_stats, `state`, `since` and `idle` of others are None, and `hidden`
    is true. Times are in seconds.
    """

    pid: int | None
    gid: str | None
    user: str | None
    application: str | None
    host: str | None
    state: str | None
    backend: str | None
    since: Any
    age: float
    idle: float | None
    query: str | None
    transaction: str | None
    modes: tuple[str, ...] = ()

    @property
    def autovacuum(self) -> bool:
        """Whether it is autovacuum, which yields."""
        return self.backend == "autovacuum worker"

    @property
    def hidden(self) -> bool:
        """Whether this role may not see what it does, nor since when."""
        return self.gid is None and self.since is None and self.state is None

    @property
    def idle_in_transaction(self) -> bool:
        """Whether it does nothing and holds its locks all the same."""
        return (self.state or "").startswith("idle in transaction")

    def document(self, show_queries: bool) -> dict[str, Any]:
        """What to print of it; the query only where asked."""
        shown: dict[str, Any] = {"pid": self.pid, "prepared": self.gid}
        shown |= {"user": self.user, "application": self.application}
        shown |= {"state": self.state, "hidden": self.hidden}
        shown |= {"age_s": None if self.hidden else round(self.age, 3)}
        shown |= {"modes": list(self.modes)}
        if show_queries:
            shown["query"] = self.query
        return shown

    def summary(self, show_queries: bool = False) -> str:
        """One line about it."""
        line = summary(self.document(show_queries))
        if self.autovacuum:
            line = line.replace(", None,", ", autovacuum,")
        return line


def summary(session: dict[str, Any]) -> str:
    """One line about a blocking session's document."""
    if session["prepared"] is not None:
        who = f"prepared transaction {session['prepared']!r} of {session['user']}"
    elif session["pid"] is None:
        who = "a prepared transaction"
    else:
        who = f"pid {session['pid']}, {session['user'] or 'a user we may not see'}"
        who += f" ({session['application']})" if session["application"] else ""
    state = HIDDEN if session["hidden"] else session["state"] or "in a transaction"
    age = "" if session["age_s"] is None else f", {duration(session['age_s'])} old"
    held = f", holds {', '.join(session['modes'])}" if session["modes"] else ""
    line = f"{who}, {state}{age}{held}"
    if session.get("query"):
        line += f"; its query: {' '.join(session['query'].split())}"
    return printable(line)


def in_words(found: Sequence[BlockingSession]) -> str:
    """The first of some blocking sessions, in words."""
    return "; ".join(session.summary() for session in found[:3])


def holding(
    connection: psycopg.Connection[Any],
    tables: Sequence[int] = (),
    modes: Sequence[str] = WRITING,
    *,
    key: int | None = None,
    name: str = "the advisory lock",
) -> list[BlockingSession]:
    """Who holds locks of some modes on tables, or the advisory lock `key`; oldest first."""
    high, low = (None, None) if key is None else (key >> 32, key & 0xFFFFFFFF)
    given = {"tables": list(tables), "modes": list(modes), "high": high, "low": low}
    return _sessions(connection, {**given, "blocked": None}, name)


def blocking(connection: psycopg.Connection[Any], pid: int) -> list[BlockingSession]:
    """The sessions and prepared transactions that block a session, the oldest first."""
    nothing: list[Any] = []
    given = {"tables": nothing, "modes": nothing, "high": None, "low": None}
    return _sessions(connection, {**given, "blocked": pid}, "")


def _sessions(
    connection: psycopg.Connection[Any], given: dict[str, Any], name: str
) -> list[BlockingSession]:
    found = []
    for row in rows(connection, SESSIONS, **given):
        modes = {
            f"{MODE_NAMES.get(mode, mode)} on {table}" if table else name
            for mode, table in row.pop("locks")
            if mode
        }
        row["age"] = max(row["age"] or 0.0, 0.0)
        found.append(BlockingSession(**row, modes=tuple(sorted(modes))))
    return found


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
                found = blocking(beside, pid)
                if found:
                    self.blockers = in_words(found)
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
