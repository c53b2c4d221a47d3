"""Connections: where the database is, how errors read, and how often to try again.

The address follows libpq's rules: a URL or key=value string, else `DATABASE_URL`, else the
PG* variables, the service file and `.pgpass`. `embedded:DIR` runs a server in DIR.
"""

import contextlib
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import conninfo, errors
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row, tuple_row

from sexton.errors import (
    Busy,
    ConnectionFailed,
    Incomplete,
    Refused,
    SextonError,
    WrongSchema,
)

Connection = psycopg.Connection[DictRow]
Result = TypeVar("Result")

EMBEDDED = "embedded:"
CONNECT_SECONDS = 10  # a dead host must not hold a cron job for minutes
LOCK_TIMEOUT = "2s"  # of one attempt: who queues for a lock makes others queue behind
ATTEMPTS = 5  # of a transaction that lost: together some ten seconds of patience


@contextlib.contextmanager
def database(
    url: str | None = None, *, name: str = "sexton", read_only: bool = False
) -> Iterator[Connection]:
    """Open the database at `url`, in autocommit mode, and close it at the end.

    `name` is the application_name that others see in pg_stat_activity. Errors of the
    server leave as SextonError, without secrets.
    """
    with contextlib.ExitStack() as stack:
        try:
            address = stack.enter_context(address_of(url))
            connection = connect(address, name=name, read_only=read_only)
            stack.callback(connection.close)
            yield connection
        except psycopg.Error as error:
            raise to_sexton_error(error) from None


@contextlib.contextmanager
def address_of(url: str | None) -> Iterator[str]:
    """The libpq connection string for `url`, with the embedded server running if asked."""
    url = url or os.environ.get("DATABASE_URL") or ""
    if not url.startswith(EMBEDDED):
        # SQLAlchemy's spelling names a driver, which libpq does not know.
        yield re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", url)
        return
    directory = url.removeprefix(EMBEDDED)
    if not directory:
        raise ConnectionFailed(
            "embedded: names no directory", hint="write --url embedded:DIR"
        )
    from sexton.embedded import Server

    with Server(Path(directory)) as server:
        yield server.url()


def connect(address: str, *, name: str, read_only: bool = False) -> Connection:
    """Connect to a libpq connection string; raises ConnectionFailed."""
    try:
        parameters: dict[str, Any] = conninfo.conninfo_to_dict(address)
    except psycopg.Error as error:
        del error  # libpq quotes what it cannot read, password included
        raise ConnectionFailed(
            "the database URL cannot be read: it is neither a URL nor key=value pairs",
            hint="it looks like postgresql://user@host:5432/database",
        ) from None
    if "PGCONNECT_TIMEOUT" not in os.environ:
        parameters.setdefault("connect_timeout", CONNECT_SECONDS)
    parameters.setdefault("application_name", name)
    try:
        connection: Connection = psycopg.connect(
            **parameters,
            row_factory=dict_row,
            autocommit=True,
            prepare_threshold=None,  # behind a pooler they meet another client's
        )
    except psycopg.Error as error:
        raise ConnectionFailed(
            f"cannot connect: {_last_line(redact(str(error), address))}",
            hint=_where(address),
        ) from None
    connection.read_only = read_only or None
    return connection


def _where(address: str) -> str:
    if address:
        return "check --url (or DATABASE_URL), and that the server is up"
    if any(v in os.environ for v in ("PGHOST", "PGSERVICE", "PGDATABASE", "PGPORT")):
        return "check the PG* variables, and that the server is up"
    return "no database was named: pass --url or set DATABASE_URL"


def redact(text: str, address: str = "") -> str:
    """Take passwords out of a message: those of `address`, and any in URL or key form."""
    for secret in sorted(_secrets(address), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
    return re.sub(r"(?i)(password\s*=\s*)('[^']*'|\S+)", r"\1***", text)


def _secrets(address: str) -> set[str]:
    """The password, and what libpq may take a mistyped one for.

    Unescaped, `p@ss` makes `ss@host` the host, and `pa/ss` makes `pa` the port.
    """
    found = set()
    with contextlib.suppress(psycopg.Error):
        found.add(str(conninfo.conninfo_to_dict(address).get("password") or ""))
    if match := re.search(r"://[^:@/]*:(.*)@", address):
        found.update([match[1], *re.split(r"[@/?#:&=]", match[1])])
    return {secret for secret in found if secret}


def _last_line(text: str) -> str:
    """The last of libpq's lines that says what happened, without its question.

    It tells each address it tried on a line of its own; one of them is enough.
    """
    said = [line for line in map(str.strip, text.splitlines()) if line]
    facts = [line for line in said if not line.startswith(("Is the server", "Multiple"))]
    last = facts[-1] if facts else "no reason given"
    return re.sub(r"^(- host.*?: |connection (failed|is bad): )*", "", last)


BUSY_STATES = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)
SCHEMA_STATES = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedObject,
    errors.InvalidSchemaName,
)


def to_sexton_error(error: psycopg.Error) -> SextonError:
    """Say a server's error in one sentence, with Sexton's exit code."""
    said = redact(error.diag.message_primary or _last_line(str(error)))
    if isinstance(error, BUSY_STATES):
        return Busy(f"busy: {said}")
    if isinstance(error, SCHEMA_STATES):
        return WrongSchema(said, hint="sexton status says what the database has")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return WrongSchema(
            f"the server is read-only: {said}", hint="connect to the primary server"
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return Incomplete(said, hint="connect as a role that may")
    if isinstance(error, errors.QueryCanceled):
        return Incomplete(said)
    if isinstance(error, psycopg.OperationalError):
        return ConnectionFailed(f"the connection broke: {said}")
    if isinstance(error, psycopg.IntegrityError):
        return Refused(f"the database refused: {said}")
    raise error


def transact(connection: Connection, work: Callable[[], Result]) -> Result:
    """Run `work` in one transaction; try again, at most ATTEMPTS times, when it loses.

    A deadlock, a serialization failure or a lock timeout is another transaction's gain,
    not an error; the pauses between attempts are random, so that two losers do not meet
    again. The last one leaves as the server's error, which `plain` reads as Busy.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with connection.transaction():
                set_local(connection, "lock_timeout", LOCK_TIMEOUT)
                return work()
        except BUSY_STATES:
            if attempt == ATTEMPTS:
                raise
            time.sleep(random.uniform(0.01, 0.05) * 2**attempt)
    raise AssertionError("unreachable")


@contextlib.contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """One REPEATABLE READ, READ ONLY transaction: everything read belongs together."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        with connection.transaction():
            yield
    finally:
        if not connection.closed:
            connection.isolation_level = None
            connection.read_only = None


def set_local(connection: Connection, parameter: LiteralString, value: str) -> None:
    """Set a parameter until the end of the transaction."""
    connection.execute("select set_config(%s, %s, true)", (parameter, value))


@contextlib.contextmanager
def settings(connection: Connection, wanted: Mapping[str, str]) -> Iterator[None]:
    """Set parameters inside a transaction, and put them back at the block's end.

    A caller's own transaction thus leaves as it came. On an error they stay as they are:
    the rollback, of the transaction or to a savepoint, puts them back.
    """
    before = rows(
        connection,
        "select name, pg_catalog.current_setting(name) as value "
        "from pg_catalog.unnest(%s::pg_catalog.text[]) as name",
        list(wanted),
    )
    change = (
        "select pg_catalog.set_config(name, value, true) from rows from ("
        "pg_catalog.unnest(%s::pg_catalog.text[]), "
        "pg_catalog.unnest(%s::pg_catalog.text[])) as s (name, value)"
    )
    connection.execute(change, (list(wanted), list(wanted.values())))
    yield
    names = [row["name"] for row in before]
    connection.execute(change, (names, [row["value"] for row in before]))


def require_transaction(connection: Connection) -> None:
    """Insist on the caller's transaction: halves of a change must not commit alone."""
    if connection.info.transaction_status != TransactionStatus.INTRANS and (
        connection.autocommit
    ):
        raise RuntimeError("call this inside `with connection.transaction():`")


def scalar(connection: Connection, query: LiteralString, *args: object) -> Any:
    """The first column of the first row, or None."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query, args or None).fetchone()
        return row[0] if row else None


def rows(
    connection: Connection, query: LiteralString, *args: object
) -> list[dict[str, Any]]:
    """All rows of a query, each as a dictionary."""
    # Not the connection's own row factory: SQLAlchemy's connections make tuples.
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, args or None).fetchall()
