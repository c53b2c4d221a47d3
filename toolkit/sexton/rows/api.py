"""The functions of `sexton.rows`: whose connection, which project, which transaction."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from sexton import project as projects
from sexton.catalog.relations import search_path
from sexton.database import (
    Connection,
    require_read_committed,
    scalar,
    settings,
    snapshot,
    transact,
)
from sexton.errors import Busy, UsageError
from sexton.postgres.session import ROWS
from sexton.project import Project
from sexton.rows import delete as deletion
from sexton.rows import restore as restoration
from sexton.rows.result import Document, Key, Result
from sexton.rows.tables import Tables
from sexton.server_errors import BUSY_STATES, to_sexton_error

LONGEST_WAIT = 10_000  # milliseconds, in a caller's transaction


def delete(
    connection: Any,
    table: str,
    *keys: Any,
    project: Project | Path | str | None = None,
    reason: str | None = None,
    actor: str | None = None,
    preview: bool = False,
) -> Result:
    """Delete rows of a declared table, with what `on_delete` says of their children.

    `keys` are values of the table's key column, or mappings or sequences of a composite
    key. `project` is a Project or the path of a project file; by default the file found
    from the working directory.

    Raises UsageError for a table that is not declared or a row that is deleted already,
    NotFound for one that does not exist, Refused if rows that may not go refer to one of
    them, Busy if locks could not be acquired in time.
    """

    def work(tables: Tables) -> Document:
        wanted = [key_of(tables, table, key) for key in keys]
        if preview:
            return deletion.preview(tables, table, wanted)
        return deletion.execute(tables, table, wanted, reason, actor)

    return Result(_work(connection, project, work, read_only=preview))


def restore(
    connection: Any,
    table: str | None = None,
    key: Any = None,
    *,
    run: int | None = None,
    partial: bool = False,
    project: Project | Path | str | None = None,
    actor: str | None = None,
    preview: bool = False,
) -> Result:
    """Bring back what one deletion deleted: that of `run`, or the one of a row.

    Raises NotFound if no deletion of the row is in the journal, UsageError for a run that
    is no deletion or was undone. Raises Refused if a row was changed since, refers to a
    parent that is not live, or another row has taken its unique key; with `partial` such
    rows are left and listed instead.
    """
    if (table is None) == (run is None):
        raise UsageError("name either a run or a row to restore", hint="restore(run=7)")

    def work(tables: Tables) -> Document:
        number = run
        if number is None:
            assert table is not None
            number = restoration.find_run(tables, table, key_of(tables, table, key))
        return restoration.execute(
            tables, number, partial=partial, actor=actor, dry_run=preview
        )

    return Result(_work(connection, project, work, read_only=False))


def key_of(tables: Tables, table: str, key: Any) -> Key:
    """A key by column; raises UsageError if it has another number of values."""
    names = tables.require(table).key
    if isinstance(key, Mapping):
        given = dict(key)
    else:
        several = isinstance(key, Sequence) and not isinstance(key, str | bytes)
        values = list(key) if several else [key]
        if len(values) != len(names):
            raise UsageError(
                f"the key of {table} is ({', '.join(names)}): {len(names)} values, and "
                f"{len(values)} were given",
                hint="write a composite key as A,B",
            )
        given = dict(zip(names, values, strict=True))
    if set(given) != set(names):
        raise UsageError(f"the key of {table} is ({', '.join(names)})")
    return {name: None if given[name] is None else str(given[name]) for name in names}


def _work(
    connection: Any,
    project: Project | Path | str | None,
    work: Callable[[Tables], Document],
    *,
    read_only: bool,
) -> Document:
    declared = projects.chosen(project)
    with projects.using(declared), _driver(connection) as driver:
        idle = driver.info.transaction_status == TransactionStatus.IDLE
        try:
            if driver.autocommit and idle:
                if read_only:
                    with snapshot(driver):
                        return _inside(driver, declared, work)
                return transact(driver, lambda: _inside(driver, declared, work))
            if not read_only:
                require_read_committed(driver)
            with driver.transaction(), settings(driver, _bounded(driver)):
                return _inside(driver, declared, work)
        except BUSY_STATES as error:
            raise Busy(
                to_sexton_error(error).message,
                hint="nothing was changed; run the same command again",
            ) from None


def _bounded(driver: Connection) -> dict[str, str]:
    """How long a statement in a caller's transaction may wait for a lock."""
    own = scalar(
        driver,
        "select s.setting::pg_catalog.int4 from pg_catalog.pg_settings s "
        "where s.name = 'lock_timeout'",
    )
    return {"lock_timeout": f"{own}ms" if 0 < own <= LONGEST_WAIT else f"{LONGEST_WAIT}ms"}


def _inside(
    driver: Connection, project: Project, work: Callable[[Tables], Document]
) -> Document:
    project.require(driver)
    tables = Tables(driver, project)
    tables.tables  # noqa: B018 - resolved by the caller's search path, which changes now
    with _noted_path(driver), settings(driver, ROWS):
        return work(tables)


@contextlib.contextmanager
def _noted_path(driver: Connection) -> Iterator[None]:
    """Let names mean what they do on the caller's search path while ours is set."""
    known: Any = driver
    before = getattr(driver, "sexton_path", None)
    if before is None:
        known.sexton_path = search_path(driver)
    try:
        yield
    finally:
        known.sexton_path = before


@contextlib.contextmanager
def _driver(connection: Any) -> Iterator[Connection]:
    """The psycopg connection of what the caller has; raises UsageError if none."""
    if isinstance(connection, psycopg.Connection):
        yield connection
        return
    session = connection if hasattr(connection, "flush") else None
    if session is not None:
        session.flush()
        connection = session.connection()
    found = getattr(getattr(connection, "connection", None), "driver_connection", None)
    if not isinstance(found, psycopg.Connection):
        raise UsageError(
            f"sexton.rows takes a psycopg 3 connection or a SQLAlchemy session or "
            f"connection on one, not {type(found or connection).__name__}",
            hint="use the URL postgresql+psycopg://…",
        )
    yield found
    if session is not None:
        session.expire_all()
