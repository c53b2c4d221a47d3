"""A team: several connections that work at one snapshot."""

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import errors

from sexton.audit.limits import INTERRUPTED, Limits
from sexton.audit.units import Unit
from sexton.database import Connection, scalar, snapshot

CANCEL_WAIT = 0.5  # seconds
EXPORT = "select pg_catalog.pg_export_snapshot()"

Connect = Callable[[], Connection]
Take = Callable[[Connection, Unit], None]


def can_export(connection: Connection) -> bool:
    """Whether the server lets other connections share a snapshot."""
    try:
        with snapshot(connection):
            export(connection)
    except (errors.ObjectNotInPrerequisiteState, errors.FeatureNotSupported):
        return False
    return True


def export(connection: Connection) -> str:
    """The name by which others adopt this transaction's snapshot."""
    return str(scalar(connection, EXPORT))


def share(
    leader: Connection,
    connect: Connect,
    exported: str,
    units: Sequence[Unit],
    limits: Limits,
    prepare: Callable[[Connection], None],
    take: Take,
) -> None:
    """Let several connections take the units, all on the leader's snapshot.

    `prepare` sets the limits of the transaction of each but the leader. An error of one
    leaves here when all have ended.
    """
    waiting: queue.SimpleQueue[Unit] = queue.SimpleQueue()
    for unit in units:
        waiting.put(unit)

    def take_all(connection: Connection) -> None:
        with contextlib.suppress(queue.Empty):
            while not (limits.stopped or connection.closed):
                take(connection, waiting.get_nowait())

    def work(connection: Connection) -> None:
        if connection is leader:
            take_all(connection)
            return
        with snapshot(connection):
            adopt: Any = f"set transaction snapshot '{exported}'"
            connection.execute(adopt)
            prepare(connection)
            take_all(connection)

    on_each(leader, connect, min(limits.options.jobs, len(units)), limits, work)


def on_each(
    leader: Connection,
    connect: Connect | None,
    jobs: int,
    limits: Limits,
    work: Callable[[Connection], None],
) -> None:
    """Do `work` on so many connections at the same time, the leader's among them.

    An error of one leaves here when all have ended.
    """
    if jobs == 1 or connect is None:
        work(leader)
        return
    ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def until_its_end(connection: Connection) -> None:
        try:
            work(connection)
            ended.put(None)
        except Exception as error:
            ended.put(error)

    with contextlib.ExitStack() as stack:
        team = [leader]
        for _ in range(jobs - 1):
            team.append(connect())
            stack.callback(team[-1].close)
        threads = [threading.Thread(target=until_its_end, args=(c,)) for c in team]
        try:
            for thread in threads:
                thread.start()
            failures = [ended.get() for _ in threads]
        except KeyboardInterrupt:
            limits.stop(INTERRUPTED)
            _cancel(dict(zip(threads, team, strict=True)))
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
    for failure in failures:
        if failure:
            raise failure


def _cancel(work: dict[threading.Thread, Connection]) -> None:
    """Cancel what the threads' connections are at, until the threads end."""
    while alive := [thread for thread in work if thread.is_alive()]:
        for thread in alive:
            with contextlib.suppress(psycopg.Error):
                work[thread].cancel_safe(timeout=CANCEL_WAIT)
        # Once is not enough: a cancel that comes before its statement ends nothing.
        alive[0].join(CANCEL_WAIT)
