"""One at a time: whoever changes the schema has the turn.

The turn is a session-level advisory lock on a connection that does nothing else. It is
polled, never waited for: a waiter in the queue would stand in the way of CREATE INDEX
CONCURRENTLY, and be killed for a deadlock.
"""

import contextlib
import time
from collections.abc import Iterator

from psycopg.rows import dict_row

from sexton.ddl import background as beside
from sexton.ddl.waiting import TELL_EVERY, Driver, Options
from sexton.durations import duration
from sexton.errors import Busy, WrongServer
from sexton.locks import UPGRADE

POLL = 0.2


def require_direct(driver: Driver) -> None:
    """Raise WrongServer behind a pooler, where a session's locks are anybody's."""
    cursor = driver.cursor(row_factory=dict_row)
    [row] = cursor.execute("select pg_backend_pid() as pid").fetchall()
    if row["pid"] != driver.info.backend_pid:
        raise WrongServer(
            "a connection pooler stands between Sexton and PostgreSQL: locks and "
            "settings of a session would end up in somebody else's",
            hint="name the server itself, host and port, in --url (or DATABASE_URL)",
        )


@contextlib.contextmanager
def turn(driver: Driver, options: Options) -> Iterator[None]:
    """Have the turn; raise Busy where another keeps it until the deadline."""
    with contextlib.closing(beside.connect(driver, "sexton, whose turn it is")) as own:
        started, told = time.monotonic(), 0.0
        while not _try(own):
            now = time.monotonic()
            if now - started > options.deadline:
                raise Busy(
                    f"another upgrade is at work ({_who(own)}), "
                    f"and has been for {duration(now - started)}",
                    hint="wait for its end, then run the same command again",
                )
            if now - told > TELL_EVERY:
                told = now
                options.say(f"waiting for another upgrade: {_who(own)}")
            time.sleep(POLL)
        yield


def _try(own: Driver) -> bool:
    cursor = own.cursor(row_factory=dict_row)
    [row] = cursor.execute("select pg_try_advisory_lock(%s) as had", (UPGRADE,)).fetchall()
    return bool(row["had"])


def _who(own: Driver) -> str:
    row = (
        own.cursor(row_factory=dict_row)
        .execute(
            """
            select l.pid, a.usename as "user", a.client_addr
            from pg_catalog.pg_locks l
            left join pg_catalog.pg_stat_activity a on a.pid = l.pid
            where l.locktype = 'advisory' and l.granted and l.objsubid = 1
              and l.database = (
                  select oid from pg_catalog.pg_database
                  where datname = current_database()
              )
              and (l.classid::bigint << 32 | l.objid::bigint) = %s
            """,
            (UPGRADE,),
        )
        .fetchone()
    )
    if row is None:
        return "it has just ended"
    where = f" at {row['client_addr']}" if row["client_addr"] else ""
    return f"pid {row['pid']}, {row['user'] or 'a user we may not see'}{where}"
