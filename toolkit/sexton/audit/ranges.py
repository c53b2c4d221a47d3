"""Ranges: a scan that would not end in its time is cut into pieces of pages.

Each piece is a statement of its own, of a size that takes PIECE_SECONDS, so that there is
progress to report, a place to stop, and work for several connections. A table's name in
a unit stands for a query; a piece puts a query for some of its pages there: a TID range.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import errors

from sexton.audit.facts import Facts, Table
from sexton.audit.units import Unit
from sexton.catalog.relations import Relation, quoted
from sexton.database import Connection, rows

LARGE_SCAN = 65_536  # pages, 512 MB: what is smaller is one statement
FIRST, SMALLEST = 8_192, 64  # pages of a piece, before its time is known, and at least
PIECE_SECONDS = 5.0

# The partitions that the snapshot sees; `pg_partition_tree` would lock today's. `direct`
# says whether the rows of each can be read by its own name, and by their TIDs: a role may
# be allowed to read the whole table alone, and a foreign table has no pages here.
LEAVES = """
    with recursive part (oid, root) as (
        select w.oid, true from pg_catalog.unnest(%s::pg_catalog.oid[]) as w (oid)
        union
        select i.inhrelid, false
        from part
        join pg_catalog.pg_class c on c.oid = part.oid and c.relkind = 'p'
        join pg_catalog.pg_inherits i on i.inhparent = part.oid
    )
    select
        c.oid::pg_catalog.int8 as oid,
        n.nspname::pg_catalog.text as schema,
        c.relname::pg_catalog.text as name,
        (coalesce(pg_catalog.pg_relation_size(c.oid), 0)
            / pg_catalog.current_setting('block_size'::pg_catalog.text)::pg_catalog.int8
        ) as pages,
        c.relkind = 'r' and (
            part.root
            or pg_catalog.has_schema_privilege(n.oid, 'usage'::pg_catalog.text)
            and pg_catalog.has_table_privilege(c.oid, 'select'::pg_catalog.text)
            and not pg_catalog.row_security_active(c.oid)
        ) as direct
    from part
    join pg_catalog.pg_class c on c.oid = part.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind <> 'p'
    order by c.oid
"""


@dataclass(frozen=True)
class Leaf:
    """A table that holds rows, or a partition of one, with its size in pages."""

    sql: str
    oid: int
    pages: int


@dataclass(frozen=True)
class Piece:
    """Some pages of a scan, counted over all leaves."""

    low: int
    high: int
    leaf: Leaf
    first: int = 0  # the leaf's first page in the count over all


@dataclass
class Cut:
    """A scan in pieces; several connections may take them at the same time.

    `position` is the page up to which everything was looked at. Sizes follow from how
    long the pieces before took.
    """

    unit: Unit
    name: str
    table: Table
    leaves: Sequence[Leaf]
    seconds: float = PIECE_SECONDS
    position: int = 0
    error: Exception | None = None
    took: float = 0.0
    found: list[Any] = field(default_factory=list)
    _helpers: int = 0
    _ended: bool = False
    _next: int = 0
    _size: int = field(default_factory=lambda: FIRST)
    _done: dict[int, Piece] = field(default_factory=dict)
    _again: list[Piece] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def join(self) -> bool:
        """Become one who takes pieces; false where the walk has ended."""
        with self._lock:
            self._helpers += not self._ended
            return not self._ended

    def leave(self) -> bool:
        """Take no more pieces; true for the last one who does, who ends the walk."""
        with self._lock:
            self._helpers -= 1
            self._ended = self._helpers == 0
            return self._ended

    @property
    def pages(self) -> int:
        """How many pages there are in all."""
        return sum(leaf.pages for leaf in self.leaves)

    @property
    def covered(self) -> float:
        """The part that was looked at, from 0 to 1."""
        return min(1.0, self.position / self.pages) if self.pages else 1.0

    @property
    def whole(self) -> bool:
        """Whether everything was looked at."""
        return self.position >= self.pages

    def take(self) -> Piece | None:
        """The next piece, or None where none is left to be begun."""
        with self._lock:
            if self._again:
                return self._again.pop()
            if self._next >= self.pages:
                return None
            piece = self._cut(self._next)
            self._next = piece.high
            return piece

    def _cut(self, low: int) -> Piece:
        first = 0
        for leaf in self.leaves:
            if low < first + leaf.pages:
                break
            first += leaf.pages
        return Piece(low, min(low + self._size, first + leaf.pages), leaf, first)

    def landed(self, piece: Piece, found: object, took: float) -> None:
        """Note what a piece found, and how many seconds it took."""
        with self._lock:
            self.found.append(found)
            self.took += took
            self._done[piece.low] = piece
            while done := self._done.pop(self.position, None):
                self.position = done.high
            wanted = (piece.high - piece.low) * min(self.seconds / max(took, 0.001), 4)
            self._size = max(SMALLEST, int(wanted))

    def too_long(self, piece: Piece) -> bool:
        """Take back a piece that did not end in its time; false for the smallest."""
        with self._lock:
            half = (piece.high - piece.low) // 2
            if half < SMALLEST:
                return False
            self._size = half
            middle = piece.low + half
            self._again.append(replace(piece, low=middle))
            self._again.append(replace(piece, high=middle))
            return True

    def query(self, piece: Piece) -> str:
        """The query for the rows of a piece."""
        columns = ", ".join(quoted(c) for c in self.table.columns if self.table.can(c))
        low, high = piece.low - piece.first, piece.high - piece.first
        where = f"ctid >= '({low},0)'::pg_catalog.tid"
        if high < piece.leaf.pages:  # else open: rows that came since lie behind it
            where += f" and ctid < '({high},0)'::pg_catalog.tid"
        return f"select {columns} from {piece.leaf.sql} where {where}"  # noqa: S608


def piece_of(cut: Cut, piece: Piece) -> Unit:
    """The unit that looks at a piece."""
    tables = {**cut.unit.tables, cut.name: cut.query(piece)}
    return replace(cut.unit, tables=tables, cut=None)


def cut_large(
    connection: Connection, units: Sequence[Unit], facts: Facts, seconds: float
) -> list[Unit]:
    """The units, those that scan a large table with a `Cut`; a piece takes `seconds`."""
    names = [_scanned(unit, facts) for unit in units]
    if not any(names):
        return list(units)
    leaves = _leaves(connection, {facts.relations[name] for name in names if name})
    return [
        replace(unit, cut=_cut(unit, name, facts, leaves, seconds)) if name else unit
        for unit, name in zip(units, names, strict=True)
    ]


def _scanned(unit: Unit, facts: Facts) -> str | None:
    """The one table that a unit reads from end to end, where it can be read in pieces."""
    names = {check.table for check in unit.checks}
    by_index = unit.settings or "look-up" in unit.strategies
    if not unit.asks or len(names) != 1 or by_index:
        return None
    [name] = names
    for check in unit.checks:
        by_row = bool(check.where or check.reference)
        ref = check.reference or check.joins
        if not by_row or check.judge or (ref and ref.parent == name):
            return None  # a piece of the parent would make orphans of the others
    table = facts.tables[name]
    large = table.pages >= LARGE_SCAN or table.rows < 0
    return name if large or facts.relations[name].kind == "p" else None


def _leaves(
    connection: Connection, relations: Iterable[Relation]
) -> Mapping[int, list[Leaf]]:
    found: dict[int, list[Leaf]] = {}
    for relation in relations:
        try:
            with connection.transaction():
                listed = rows(connection, LEAVES, [relation.oid])
        except errors.LockNotAvailable:
            continue  # the scan itself will say by whom
        if not all(row["direct"] for row in listed):
            continue  # one statement reads the table by its name
        for row in listed:
            sql = f"{quoted(row['schema'])}.{quoted(row['name'])}"
            leaf = Leaf(sql, row["oid"], row["pages"])
            if leaf.pages:
                found.setdefault(relation.oid, []).append(leaf)
    return found


def _cut(
    unit: Unit,
    name: str,
    facts: Facts,
    leaves: Mapping[int, list[Leaf]],
    seconds: float,
) -> Cut | None:
    mine = leaves.get(facts.relations[name].oid, [])
    if sum(leaf.pages for leaf in mine) < LARGE_SCAN:
        return None
    return Cut(unit, name, facts.tables[name], mine, seconds)
