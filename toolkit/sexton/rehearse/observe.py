"""Observation: what each statement of a revision locks, rewrites, scans and builds.

The connection's cursors note each statement with the revision's file and line. Locks are
read by a second connection; what is not committed yet can only be read by the session
itself: file nodes, the counters of scans, the columns.
"""

import contextlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from alembic.operations import AbstractOperations, MigrateOperation
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from sexton.postgres.connect import Connection, another

STATE = """
    select c.oid, n.nspname, c.relname, c.relkind::text, pg_relation_filenode(c.oid),
           coalesce(pg_stat_get_xact_numscans(c.oid), 0), i.indrelid
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join pg_catalog.pg_index i on i.indexrelid = c.oid
    where c.relkind in ('r', 'm', 'p', 'i', 'I') and c.relpersistence <> 't'
      and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'sexton')
"""
COLUMNS = """
    select a.attrelid, a.attnum, a.attname
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_class c on c.oid = a.attrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p')
      and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'sexton')
"""
LOCKS = """
    select l.relation, l.mode from pg_catalog.pg_locks l
    where l.pid = %s and l.locktype = 'relation' and l.relation >= 16384
"""
MODES = (
    *("AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"),
    *("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"),
)
BLOCKING = frozenset(MODES[4:])  # they block writers, the last one readers too
_IGNORED = re.compile(
    r"\s*(select|show|set|reset|values|begin|start|commit|rollback|savepoint|release"
    r"|explain|deallocate|discard|end|fetch|close"
    r"|with\b(?!.*\b(insert|update|delete|merge)\b))\b",
    re.IGNORECASE | re.DOTALL,
)
_ALONE = re.compile(
    r"\bconcurrently\b|^\s*(vacuum|alter\s+system|(create|drop)\s+(database|tablespace))\b",
    re.IGNORECASE,
)
_NAMES = re.compile(r"\b(rename|drop|set\s+schema)\b", re.IGNORECASE)

Oid = int


@dataclass
class Relation:
    """A relation as the session sees it."""

    name: str
    kind: str
    node: int | None
    scans: int
    of: Oid | None


@dataclass
class Watched:
    """A statement that ran, and what was observed of it.

    `held` are the locks on older tables that the transaction holds after it, `before` those
    it held before.
    """

    file: str
    line: int | None
    sql: str
    operation: MigrateOperation | None
    transaction: float = 0
    before: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    rewritten: list[str] = field(default_factory=list)
    scanned: list[str] = field(default_factory=list)
    built: list[tuple[str, str]] = field(default_factory=list)  # index, table
    renamed: list[tuple[str, str]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)  # tables, and table.column
    tag: str = ""
    waited: float | None = None  # how long a writer had to wait, in seconds
    error: psycopg.Error | None = None

    @property
    def locks(self) -> dict[str, str]:
        """The locks that this statement acquired itself."""
        return {t: m for t, m in self.held.items() if self.before.get(t) != m}


class Observer:
    """Observes one session while one revision runs in it."""

    def __init__(self, driver: Connection, beside: Connection, folders: Sequence[Path]):
        self.driver, self.beside = driver, beside
        self.folders = tuple(str(folder) for folder in folders)
        self.statements: list[Watched] = []
        self.after: Callable[[int], None] | None = None
        self.measure = False
        self._writers: list[_Writer] = []
        self._operation: MigrateOperation | None = None
        self._busy = False
        self._old: dict[Oid, str] = {}
        self._held: dict[str, str] = {}
        self._transaction = 0.0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note what runs on the session in this block."""
        observer = self

        class Cursor(psycopg.Cursor[Any]):
            def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
                run = super().execute
                return observer.observe(self, query, lambda: run(query, params, **options))

            def executemany(self, query: Any, params_seq: Any, **options: Any) -> Any:
                run = super().executemany
                return observer.observe(
                    self, query, lambda: run(query, params_seq, **options)
                )

        self._old = {
            oid: one.name for oid, one in self._state().items() if one.kind in "rmp"
        }
        if not self.driver.autocommit:
            self.driver.rollback()
        invoke: Any = AbstractOperations.invoke

        def noted(operations: Any, operation: MigrateOperation) -> Any:
            outer, self._operation = self._operation, operation
            try:
                return invoke(operations, operation)
            finally:
                self._operation = outer

        AbstractOperations.invoke = noted  # type: ignore[method-assign,assignment]
        before, self.driver.cursor_factory = self.driver.cursor_factory, Cursor
        try:
            yield
        finally:
            self.driver.cursor_factory = before
            AbstractOperations.invoke = invoke  # type: ignore[method-assign]
            if self._writers and not self.driver.closed:
                self.driver.rollback()  # of what failed: the writers wait for it
            for writer in self._writers:
                writer.join()

    def observe(self, cursor: Any, query: Any, run: Callable[[], Any]) -> Any:
        """Run a statement, and note it if it is a revision's and changes something."""
        text = query if isinstance(query, str) else _text(query, self.driver)
        place = None if self._busy or _IGNORED.match(text) else self._place()
        if place is None:
            return run()
        self._busy = True
        try:
            return self._observed(cursor, text, place, run)
        finally:
            self._busy = False

    # -- inside ------------------------------------------------------------------------

    def _observed(
        self, cursor: Any, text: str, place: tuple[str, int], run: Callable[[], Any]
    ) -> Any:
        noted = Watched(*place, text, self._operation)
        idle = self.driver.info.transaction_status == TransactionStatus.IDLE
        alone = self.driver.autocommit and idle and bool(_ALONE.search(text))
        own = self.driver.autocommit and idle and not alone
        if own:
            self._ask("begin")
        elif idle and not alone:
            self._ask("select")  # begins the transaction
        before = self._state()
        columns = self._columns() if _NAMES.search(text) else None
        if not alone:
            self._begun(noted)
        poll = _Poll(self.beside, self.driver.info.backend_pid) if alone else None
        try:
            with poll or contextlib.nullcontext():
                result = run()
        except psycopg.Error as error:
            noted.error = error
            self.statements.append(noted)
            if own and not self.driver.closed:
                self._ask("rollback")
            raise
        noted.tag = (cursor.statusmessage or "").split(" ")[0]
        locks = poll.seen if poll else self._locks()
        self._compare(noted, before, locks, columns)
        self._held = {} if alone or own else noted.held
        self.statements.append(noted)
        blocked = [t for t, mode in noted.locks.items() if mode in BLOCKING]
        if self.measure and blocked and not alone:
            self._writers += [_Writer(self.driver, table, noted) for table in blocked]
        if own:
            self._ask("commit")
        if self.after:
            self.after(len(self.statements))
        return result

    def _begun(self, noted: Watched) -> None:
        noted.transaction = self._ask(
            "select extract(epoch from pg_catalog.transaction_timestamp())::float8"
        )[0][0]
        if noted.transaction != self._transaction:
            self._held = {}
        self._transaction = noted.transaction
        noted.before = self._held

    def _compare(
        self,
        noted: Watched,
        before: dict[Oid, Relation],
        locks: dict[Oid, str],
        columns: dict[tuple[Oid, int], str] | None,
    ) -> None:
        after = self._state()
        old = self._old
        indexes = {oid: one.of for oid, one in before.items() if one.of}
        held: dict[str, str] = {}
        for oid, mode in locks.items():
            if (table := indexes.get(oid, oid)) in old and table == oid:
                held[old[table]] = stronger(held.get(old[table]), mode)
        noted.held = {t: m for t, m in held.items() if MODES.index(m) >= 2}
        for oid, one in after.items():
            was = before.get(oid)
            if one.of in old and (was is None or was.node != one.node):
                assert one.of is not None
                noted.built.append((one.name, old[one.of]))
            if oid not in old or was is None:
                continue
            if was.node != one.node and noted.tag != "TRUNCATE":
                noted.rewritten.append(old[oid])
            # The counters begin again with what the server has taken over.
            if one.scans > (was.scans if was.scans <= one.scans else 0):
                noted.scanned.append(old[oid])
            if was.name != one.name:
                noted.renamed.append((was.name, one.name))
        noted.dropped += [
            before[oid].name for oid in old if oid in before and oid not in after
        ]
        if columns is not None:
            self._compare_columns(noted, columns, after)

    def _compare_columns(
        self,
        noted: Watched,
        columns: dict[tuple[Oid, int], str],
        after: dict[Oid, Relation],
    ) -> None:
        now = self._columns()
        for (oid, number), name in columns.items():
            if oid not in self._old or oid not in after:
                continue
            table = self._old[oid]
            if (new := now.get((oid, number))) is None:
                noted.dropped.append(f"{table}.{name}")
            elif new != name:
                noted.renamed.append((f"{table}.{name}", f"{table}.{new}"))

    def _place(self) -> tuple[str, int] | None:
        """The revision's file and line that the statement comes from, if it does."""
        frame: Any = sys._getframe(2)
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(self.folders) and Path(file).name != "env.py":
                return file, frame.f_lineno
            frame = frame.f_back
        return None

    def _ask(self, query: Any) -> list[Any]:
        with psycopg.Cursor(self.driver, row_factory=tuple_row) as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []

    def _state(self) -> dict[Oid, Relation]:
        return {
            oid: Relation(named(schema, name), kind, node, scans, of)
            for oid, schema, name, kind, node, scans, of in self._ask(STATE)
        }

    def _columns(self) -> dict[tuple[Oid, int], str]:
        return {(oid, number): name for oid, number, name in self._ask(COLUMNS)}

    def _locks(self) -> dict[Oid, str]:
        return locks_of(self.beside, self.driver.info.backend_pid)


class _Poll:
    """Looks for locks while a statement runs that cannot be in a transaction."""

    def __init__(self, beside: Connection, pid: int) -> None:
        self.seen: dict[Oid, str] = {}
        self._beside, self._pid = beside, pid
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.is_set():
            for oid, mode in locks_of(self._beside, self._pid).items():
                self.seen[oid] = stronger(self.seen.get(oid), mode)


class _Writer(threading.Thread):
    """Another session, which wants to write into a table, and waits as long as it must."""

    def __init__(self, driver: Connection, table: str, statement: Watched) -> None:
        super().__init__(daemon=True)
        self._session = another(driver, name="sexton rehearse, a writer")
        self._table, self._statement = table, statement
        self._since = time.monotonic()
        self.start()

    def run(self) -> None:
        """Wait for the lock of a writer, and leave."""
        query = sql.SQL("lock table {} in row exclusive mode").format(
            sql.Identifier(*("public." + self._table).split(".")[-2:])
        )
        with (
            contextlib.closing(self._session),
            contextlib.suppress(psycopg.Error),
            self._session.transaction(),
        ):
            self._session.execute(query)
        waited = time.monotonic() - self._since
        self._statement.waited = max(waited, self._statement.waited or 0)


def locks_of(beside: Connection, pid: int) -> dict[Oid, str]:
    """The strongest lock of a session on each relation."""
    found: dict[Oid, str] = {}
    for row in beside.execute(LOCKS, (pid,)).fetchall():
        found[row["relation"]] = stronger(found.get(row["relation"]), row["mode"])
    return found


def stronger(one: str | None, other: str) -> str:
    """The stronger of two modes."""
    return other if one is None else max(one, other, key=MODES.index)


def spelled(mode: str) -> str:
    """A mode as SQL spells it: ACCESS EXCLUSIVE."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", mode.removesuffix("Lock")).upper()


def named(schema: str, name: str) -> str:
    """A table's name in a document: without its schema if that is public."""
    return name if schema == "public" else f"{schema}.{name}"


def _text(query: Any, driver: Connection) -> str:
    if isinstance(query, bytes):
        return query.decode(errors="replace")
    return str(query.as_string(driver)) if hasattr(query, "as_string") else str(query)
