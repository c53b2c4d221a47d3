"""What the catalogs say about references."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import errors

from sexton.audit.reference_query import FACTS
from sexton.catalog.identifiers import identifier
from sexton.catalog.relations import Relation, quoted, resolve
from sexton.check import Reference
from sexton.database import Connection, rows

ATTEMPTS = 3


@dataclass(frozen=True)
class Pair:
    """One column of a child and its key, and how they are compared.

    `collation` is the parent's, where the child's differs: as for a foreign key, it is
    the parent's that decides what is equal. `schema` has the operators of the key's `type`
    if that is not pg_catalog; the type is that under all domains.
    """

    column: str
    key: str
    collation: str | None = None
    schema: str | None = None
    type: str | None = None

    def of(self, alias: str, name: str) -> str:
        """One of the two columns, by an alias, as the operators take it."""
        value = f"{alias}.{identifier(name)}"
        return f"{value}::{self.type}" if self.type else value

    def operator(self, name: str) -> str:
        """A comparison as it stands in SQL."""
        return f"operator({quoted(self.schema)}.{name})" if self.schema else name


@dataclass(frozen=True)
class ReferenceFacts:
    """What the catalogs say about a reference; numbers of rows are estimates.

    `pairs` are in the order of the columns of `index`, where there is one. `partitions`
    is how many tables each look at the child is really.
    """

    children: float
    parents: float
    distinct: float | None
    index: str | None
    comparable: bool
    collation: str | None
    unique: bool
    constraint: str | None
    pairs: tuple[Pair, ...] = ()
    partitions: int = 1


def facts(
    connection: Connection,
    wanted: Iterable[tuple[str, Reference]],
    relations: Mapping[str, Relation] | None = None,
) -> dict[tuple[str, Reference], ReferenceFacts]:
    """Read the catalogs about references of tables, all at once.

    `relations` are the tables by their names, where they are known already. A reference
    of which a table or a column is absent is left out.
    """
    asked = list(dict.fromkeys(wanted))
    if relations is None:
        relations = resolve(
            connection, [t for table, ref in asked for t in (table, ref.parent)]
        )
    tables = [
        (index, relations[table].oid, relations[ref.parent].oid)
        for index, (table, ref) in enumerate(asked)
        if table in relations and ref.parent in relations
    ]
    pairs = [
        (index, nth, column, key)
        for index, _, _ in tables
        for nth, (column, key) in enumerate(
            zip(asked[index][1].columns, asked[index][1].parent_keys, strict=True)
        )
    ]
    if not tables:
        return {}
    columns = [
        list(column) for column in (*zip(*tables, strict=True), *zip(*pairs, strict=True))
    ]
    found: dict[tuple[str, Reference], ReferenceFacts] = {}
    for row in _asked(connection, columns):
        table, ref = asked[row["ordinal"]]
        if len(row["pairs"]) == len(ref.columns):
            found[table, ref] = _facts(connection, table, ref, row, relations)
    return found


def _asked(connection: Connection, columns: list[list[Any]]) -> list[dict[str, Any]]:
    """Ask, and again if a table is locked at that very moment: then it is left out."""
    for attempt in range(ATTEMPTS):
        try:
            with connection.transaction():
                return rows(connection, FACTS, *columns)
        except errors.LockNotAvailable:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _facts(
    connection: Connection,
    table: str,
    ref: Reference,
    row: dict[str, Any],
    relations: Mapping[str, Relation],
) -> ReferenceFacts:
    guarded = None
    if ref.guarded and row["steady"]:
        from sexton.guard.status import guarding

        try:
            with connection.transaction():
                guarded = guarding(connection, table, ref, relations)
        except errors.LockNotAvailable:
            guarded = None  # the check looks itself, and says by whom it is locked
    pairs = [Pair(**pair) for pair in row["pairs"]]
    collations = [pair.collation for pair in pairs if pair.collation]
    total, present, distinct = row["rows"], 1.0, None
    # Of a composite reference the most that its columns allow, as if unrelated.
    for n_distinct, null_frac in row["statistics"] or ():
        number = -n_distinct * total if n_distinct < 0 else n_distinct
        distinct = min((distinct or 1) * number, total)
        present = min(present, 1 - null_frac)
    if row["positions"]:
        positions = {name: index for index, name in enumerate(row["positions"])}
        pairs.sort(key=lambda pair: positions[pair.column])
    return ReferenceFacts(
        children=float(total * present),
        parents=float(row["parents"]),
        distinct=distinct,
        index=row["index"],
        comparable=row["comparable"],
        collation=collations[0] if collations else None,
        unique=row["unique"],
        # A key knows nothing of a condition on the parent.
        constraint=guarded
        or (None if ref.parent_where or ref.parent_live else row["constraint"]),
        pairs=tuple(pairs),
        partitions=row["partitions"],
    )
