"""Ranges: a scan that would not end in its time is cut into pieces of pages.

Each piece is a statement of its own, of a size that takes PIECE_SECONDS, so that there is
progress to tell, a place to stop at, and work for several connections. A table's name in
a unit stands for a query; a piece puts a query for some of its pages there. PostgreSQL
finds pages by TID ranges from version 14 on; before it, pieces are ranges of a key.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sexton.audit.facts import Facts, Table
from sexton.audit.units import Unit
from sexton.catalog.relations import Relation, literal, quoted
from sexton.database import Connection, rows, scalar

LARGE_SCAN = 65_536  # pages, 512 MB: what is smaller is one statement
FIRST, SMALLEST = 8_192, 64  # pages of a piece, before its time is known, and at least
PIECE_SECONDS = 5.0
TID_RANGES = 140000  # the server version that can find pages by number

LEAVES = """
    select
        c.oid::pg_catalog.int8 as oid,
        n.nspname::pg_catalog.text as schema,
        c.relname::pg_catalog.text as name,
        (pg_catalog.pg_relation_size(c.oid)
            / pg_catalog.current_setting('block_size'::pg_catalog.text)::pg_catalog.int8
        ) as pages,
        (
            select a.attname::pg_catalog.text
            from pg_catalog.pg_index i
            join pg_catalog.pg_attribute a
              on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where i.indrelid = c.oid and i.indisprimary and i.indnkeyatts = 1
        ) as key,
        c.reltuples as rows,
        -- It changes when the table is rewritten: then pages are other pages.
        pg_catalog.pg_relation_filenode(c.oid)::pg_catalog.int8 as file
    from pg_catalog.unnest(%s::pg_catalog.oid[]) as w (oid)
    -- The tree of a table that is no partition of anything is empty.
    left join pg_catalog.pg_partition_tree(w.oid::pg_catalog.regclass) t on true
    join pg_catalog.pg_class c on c.oid = coalesce(t.relid::pg_catalog.oid, w.oid)
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where coalesce(t.isleaf, true) and c.relkind = 'r'
    order by c.oid
"""


@dataclass(frozen=True)
class Leaf:
    """A table that holds rows, or a partition of one, with its size in pages."""

    sql: str
    oid: int
    pages: int
    file: int = 0
    key: str | None = None
    rows: float = 0


@dataclass(frozen=True)
class Piece:
    """Some pages of a scan, counted over all leaves; by key, from one value to another.

    `start` and `end` are None at a leaf's own ends.
    """

    low: int
    high: int
    leaf: Leaf
    first: int = 0  # the leaf's first page in the count over all
    start: str | None = None
    end: str | None = None


@dataclass
class Cut:
    """A scan in pieces; several connections may take them at the same time.

    `position` is the page up to which everything was looked at, `bound` the key there
    where pieces are ranges of one. Sizes follow from how long the pieces before took.
    """

    unit: Unit
    name: str
    table: Table
    leaves: Sequence[Leaf]
    seconds: float = PIECE_SECONDS
    position: int = 0
    bound: str | None = None
    by_key: bool = False
    error: Exception | None = None
    took: float = 0.0
    found: list[Any] = field(default_factory=list)
    _helpers: int = 0
    _ended: bool = False
    _next: int = 0
    _start: str | None = None
    _size: int = field(default_factory=lambda: FIRST)
    _done: dict[int, Piece] = field(default_factory=dict)
    _again: list[Piece] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def restart(self) -> None:
        """Begin at `position`, where an earlier run left off."""
        self._next, self._start = self.position, self.bound

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

    def take(self, connection: Connection) -> Piece | None:
        """The next piece, or None where none is left to be begun."""
        with self._lock:
            if self._again:
                return self._again.pop()
            if self._next >= self.pages:
                return None
            piece = self._cut(connection, self._next, self._start)
            self._next, self._start = piece.high, piece.end
            return piece

    def _cut(self, connection: Connection, low: int, start: str | None) -> Piece:
        first = 0
        for leaf in self.leaves:
            if low < first + leaf.pages:
                break
            first += leaf.pages
        last = first + leaf.pages
        high = min(low + self._size, last)
        end = None
        if self.by_key and high < last:
            end = _key_after(connection, leaf, start, high - low)
            high = last if end is None else high
        return Piece(low, high, leaf, first, start, end)

    def landed(self, piece: Piece, found: object, took: float) -> None:
        """Note what a piece found, and how many seconds it took."""
        with self._lock:
            self.found.append(found)
            self.took += took
            self._done[piece.low] = piece
            while done := self._done.pop(self.position, None):
                self.position, self.bound = done.high, done.end
            wanted = (piece.high - piece.low) * min(self.seconds / max(took, 0.001), 4)
            self._size = max(SMALLEST, int(wanted))

    def too_long(self, connection: Connection, piece: Piece) -> bool:
        """Take back a piece that did not end in its time; false for the smallest."""
        with self._lock:
            half = (piece.high - piece.low) // 2
            if half < SMALLEST:
                return False
            self._size = half
            middle, key = piece.low + half, None
            if self.by_key:
                key = _key_after(connection, piece.leaf, piece.start, half)
                if key is None:
                    return False
            self._again.append(replace(piece, low=middle, start=key))
            self._again.append(replace(piece, high=middle, end=key))
            return True

    def query(self, piece: Piece) -> str:
        """The query for the rows of a piece."""
        columns = ", ".join(quoted(c) for c in self.table.columns if self.table.can(c))
        low, high = piece.low - piece.first, piece.high - piece.first
        if self.by_key:
            key = quoted(piece.leaf.key or "")
            ends = [(">=", piece.start), ("<", piece.end)]
            parts = [f"{key} {sign} {literal(v)}" for sign, v in ends if v is not None]
        else:
            parts = [f"ctid >= '({low},0)'::pg_catalog.tid"]
            if high < piece.leaf.pages:  # else open: rows that came since lie behind it
                parts.append(f"ctid < '({high},0)'::pg_catalog.tid")
        where = " and ".join(parts) or "true"
        return f"select {columns} from {piece.leaf.sql} where {where}"  # noqa: S608


def _key_after(
    connection: Connection, leaf: Leaf, start: str | None, pages: int
) -> str | None:
    """The key some pages further on, as text; None where the table ends before."""
    key = quoted(leaf.key or "")
    where = f"where {key} >= {literal(start)}" if start is not None else ""
    skipped = max(1, int(leaf.rows * pages / leaf.pages))
    query: Any = (
        f"select pg_catalog.format('%s', {key}) from {leaf.sql} {where} "  # noqa: S608
        f"order by {key} offset {skipped:d} limit 1"
    )
    found = scalar(connection, query)
    return None if found is None else str(found)


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
    by_key = connection.info.server_version < TID_RANGES
    return [
        replace(unit, cut=_cut(unit, name, facts, leaves, seconds, by_key=by_key))
        if name
        else unit
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
        for row in rows(connection, LEAVES, [relation.oid]):
            sql = f"{quoted(row['schema'])}.{quoted(row['name'])}"
            facts = (row["pages"], row["file"], row["key"], row["rows"])
            leaf = Leaf(sql, row["oid"], *facts)
            if leaf.pages:
                found.setdefault(relation.oid, []).append(leaf)
    return found


def _cut(
    unit: Unit,
    name: str,
    facts: Facts,
    leaves: Mapping[int, list[Leaf]],
    seconds: float,
    *,
    by_key: bool,
) -> Cut | None:
    mine = leaves.get(facts.relations[name].oid, [])
    if sum(leaf.pages for leaf in mine) < LARGE_SCAN:
        return None
    if by_key and any(leaf.key is None or leaf.rows < 0 for leaf in mine):
        return None
    return Cut(unit, name, facts.tables[name], mine, seconds, by_key=by_key)
