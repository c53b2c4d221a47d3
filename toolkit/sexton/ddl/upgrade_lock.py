"""The upgrade lock: one at a time changes the schema.

It is a session-level advisory lock on a connection that does nothing else. It is polled,
never waited for: a waiter in the queue would stand in the way of CREATE INDEX
CONCURRENTLY, and be killed for a deadlock.
"""

import contextlib
import hashlib
import time
from collections.abc import Iterator

from sexton.database import UPGRADE
from sexton.ddl.background import connect
from sexton.ddl.options import TELL_EVERY, Options
from sexton.ddl.session import Driver, is_direct
from sexton.errors import Busy, WrongServer
from sexton.postgres.blockers import holding
from sexton.postgres.session import scalar
from sexton.text.durations import duration
from sexton.text.printable import printable

POLL = 0.2
POOLED = (
    "a connection pooler stands between Sexton and PostgreSQL: locks and settings of a "
    "session would end up in somebody else's"
)
NAME_THE_SERVER = "name the server itself, host and port, in --url (or DATABASE_URL)"
NAME = "sexton, which holds the upgrade lock"


def lock_key(schema: str = "sexton") -> int:
    """The key of the lock: one per database, and per schema that the versions lie in."""
    if schema == "sexton":
        return UPGRADE
    digest = hashlib.sha256(schema.encode()).digest()
    return UPGRADE ^ (int.from_bytes(digest[:4], "big") << 8)


def require_direct(driver: Driver) -> None:
    """Raise WrongServer behind a pooler, where a session's locks are anybody's."""
    if not is_direct(driver):
        raise WrongServer(POOLED, hint=NAME_THE_SERVER)


@contextlib.contextmanager
def upgrade_lock(
    driver: Driver, options: Options, schema: str = "sexton"
) -> Iterator[Driver]:
    """Hold the upgrade lock; raise Busy where another keeps it until the deadline.

    Yields the connection that holds it, which is idle.
    """
    key = lock_key(schema)
    with contextlib.closing(connect(driver, NAME)) as own:
        started, last_said = time.monotonic(), 0.0
        while not _try(own, key):
            now = time.monotonic()
            if now - started > options.deadline:
                raise _busy(own, key, now - started)
            if now - last_said > TELL_EVERY:
                last_said = now
                left = duration(max(0.0, started + options.deadline - now))
                options.say(
                    f"waiting for another upgrade: {_who(own, key)[0]}; {left} left"
                )
            time.sleep(POLL)
        yield own


def _try(own: Driver, key: int) -> bool:
    return bool(
        scalar(own, "select pg_catalog.pg_try_advisory_lock(%s::pg_catalog.int8)", key)
    )


def _busy(own: Driver, key: int, waited: float) -> Busy:
    who, ours, pid = _who(own, key)
    if ours:
        return Busy(
            f"another upgrade is at work ({who}), and has been for {duration(waited)}",
            hint="wait for its end, then run the same command again",
        )
    return Busy(
        f"another session holds the upgrade lock ({who}), and does not look like Sexton",
        hint=f"if it is none of yours: select pg_terminate_backend({pid}); "
        "then run the same command again",
    )


def _who(own: Driver, key: int) -> tuple[str, bool, int | None]:
    """Who holds the lock, whether that looks like Sexton, and the process id."""
    for found in holding(own, key=key, name="the upgrade lock"):
        ours = found.application is None or found.application.startswith("sexton")
        host = f", at {printable(found.host)}" if found.host else ""
        return f"{found.summary()}{host}", ours, found.pid
    return "it has just ended", True, None
