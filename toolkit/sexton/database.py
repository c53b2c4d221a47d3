"""Connections: where the database is, which session it gets, and how often to try again.

The address follows libpq's rules: a URL or key=value string, else `DATABASE_URL`, else the
PG* variables, the service file and `.pgpass`. `embedded:DIR` runs a server in DIR.
"""

import contextlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from sexton.errors import Busy, ConnectionFailed, Refused
from sexton.postgres.blockers import Watcher, watched
from sexton.postgres.connect import Connection as Connection
from sexton.postgres.connect import connect as connect
from sexton.postgres.connect import in_libpqs_words, marked_as_embedded
from sexton.postgres.session import (
    bound_waits,
    exchange,
    safe_transaction,
    set_parameters,
)
from sexton.postgres.session import rows as rows
from sexton.postgres.session import scalar as scalar
from sexton.server_errors import BUSY_STATES, to_sexton_error
from sexton.text.printable import printable

# Its warnings reach whoever has set logging up; nobody's standard error by themselves.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

Result = TypeVar("Result")

EMBEDDED = "embedded:"
# Advisory locks: "sexton" as a number, twice. A project has its own beside them.
UPGRADE = 0x736578746F6E02  # whoever changes the schema
REPAIR = 0x736578746F6E03  # whoever makes a plan's changes, or undoes a run
LOCK_TIMEOUT = "2s"  # of one attempt: who queues for a lock makes others queue behind
ATTEMPTS = 5  # of a transaction that lost: together some ten seconds of patience


@contextlib.contextmanager
def database(
    url: str | None = None, *, name: str = "sexton", read_only: bool = False
) -> Iterator[Connection]:
    """Open the database at `url`, in autocommit mode, and close it at the end.

    `name` is the application_name that others see in pg_stat_activity. Waits for locks are
    announced (to the logger `sexton.waiting`) and bounded. Errors of the server leave as
    SextonError, without secrets; Busy names the blocking session.
    """
    watcher: Watcher | None = None
    with contextlib.ExitStack() as stack:
        try:
            address = stack.enter_context(address_of(url))
            connection = connect(address, name=name, read_only=read_only)
            stack.callback(connection.close)
            bound_waits(connection)
            watcher = stack.enter_context(watched(connection))
            yield connection
        except psycopg.Error as error:
            found = to_sexton_error(error)
            if isinstance(found, Busy) and watcher and watcher.blockers:
                found.message += f"; blocked by {watcher.blockers}"
            raise found from None


@contextlib.contextmanager
def address_of(url: str | None) -> Iterator[str]:
    """The libpq connection string for `url`, with the embedded server running if asked."""
    url = url or os.environ.get("DATABASE_URL") or ""
    if not url.startswith(EMBEDDED):
        yield in_libpqs_words(url)
        return
    directory = url.removeprefix(EMBEDDED)
    if not directory:
        raise ConnectionFailed(
            "embedded: names no directory", hint="write --url embedded:DIR"
        )
    from sexton.embedded import Server

    with Server(Path(directory)) as server:
        yield marked_as_embedded(server.url())


@dataclass(frozen=True, slots=True)
class Location:
    """Where a connection leads, and as whom it came there."""

    database: str
    host: str
    port: int
    role: str

    def __str__(self) -> str:
        """As a person reads it."""
        at = self.host if self.host.startswith("/") else f"{self.host}:{self.port}"
        return printable(f"{self.database} at {at} as {self.role}")


def location(connection: Connection) -> Location:
    """Where a connection leads; behind a pooler, where it says it does."""
    info = connection.info
    return Location(info.dbname, info.host or "localhost", info.port, info.user)


def transact(connection: Connection, work: Callable[[], Result]) -> Result:
    """Run `work` in one transaction; try again, at most ATTEMPTS times, when it loses.

    A deadlock, a serialization failure or a lock timeout is another transaction's gain,
    not an error; the pauses between attempts are random, so that two losers do not meet
    again. The last one leaves as the server's error, which `to_sexton_error` reads as
    Busy.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with read_committed(connection), connection.transaction():
                safe_transaction(connection)
                set_local(connection, "lock_timeout", LOCK_TIMEOUT)
                return work()
        except BUSY_STATES:
            if attempt == ATTEMPTS:
                raise
            time.sleep(random.uniform(0.01, 0.05) * 2**attempt)
    raise AssertionError("unreachable")


@contextlib.contextmanager
def read_committed(connection: Connection) -> Iterator[None]:
    """Let transactions that begin inside be READ COMMITTED, whatever the default is.

    A writer's snapshot must not be older than its locks: it would overlook what others
    committed while it waited.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        require_read_committed(connection)
        yield
        return
    before = connection.isolation_level
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    try:
        yield
    finally:
        if not connection.closed:
            connection.isolation_level = before


def require_read_committed(connection: Connection) -> None:
    """Refuse to write in a caller's own transaction of another isolation level."""
    level = scalar(connection, "select pg_catalog.current_setting('transaction_isolation')")
    if level != "read committed":
        raise Refused(
            f"the transaction is {level}: it would overlook what others commit while it "
            "waits for their locks",
            hint="begin it with: begin isolation level read committed",
        )


@contextlib.contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """One REPEATABLE READ, READ ONLY transaction: everything read belongs together."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        with connection.transaction():
            safe_transaction(connection)
            yield
    finally:
        if not connection.closed:
            connection.isolation_level = None
            connection.read_only = None


def set_local(connection: Connection, parameter: LiteralString, value: str) -> None:
    """Set a parameter until the end of the transaction."""
    set_parameters(connection, {parameter: value}, local=True)


@contextlib.contextmanager
def settings(connection: Connection, wanted: Mapping[str, str]) -> Iterator[None]:
    """Set parameters inside a transaction, and restore them at the block's end.

    A caller's own transaction thus leaves as it came. Parameters that the server does not
    have are left out. On an error they stay as they are: the rollback, of the transaction
    or to a savepoint, restores them.
    """
    before = exchange(connection, wanted)
    yield
    set_parameters(connection, before, local=True)


def require_transaction(connection: Connection) -> None:
    """Insist on the caller's transaction: halves of a change must not commit alone."""
    if connection.info.transaction_status != TransactionStatus.INTRANS and (
        connection.autocommit
    ):
        raise RuntimeError("call this inside `with connection.transaction():`")
