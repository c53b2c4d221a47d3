"""The rows that a step changes beside others who write: read once, then BATCH at a time.

A row is named by its primary key, in the key's order, and so met as it then is, however
often it was written since. Without a key it is named by its place; it moves when somebody
writes it, so that the table is read again, until no row is left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg.rows import tuple_row

from sexton.catalog.relations import literal, quoted
from sexton.catalog.tables import Table
from sexton.ddl.row_changes import RowChange
from sexton.ddl.row_loop import BATCH
from sexton.ddl.session import Driver

PLACE = {"tableoid": "pg_catalog.oid", "ctid": "pg_catalog.tid"}


@dataclass(frozen=True)
class Batch:
    """A change of some rows: with it, `done` of `total` rows that were read."""

    change: RowChange
    done: int
    total: int


def batches(driver: Driver, table: Table, change: RowChange) -> Iterator[Batch]:
    """Split a change whose rows no longer fit its condition once they are changed.

    `driver` is a session of our own, and in no transaction whenever a batch is asked for.
    Where a read finds no fewer rows than the one before it, a trigger keeps them: the end.
    """
    types = {name: table.columns[name].type for name in table.key}
    keyed = bool(types) and not any(type.endswith("[]") for type in types.values())
    types = types if keyed else PLACE
    cursor = driver.cursor(row_factory=tuple_row)
    # All rows are wanted: no plan that is quick for the first of them.
    cursor.execute("set cursor_tuple_fraction = 1")
    most = None
    while True:
        cursor.execute(_read(change, types))
        total = cursor.execute("move forward all in sexton_rows").rowcount
        cursor.execute("move absolute 0 in sexton_rows")
        done = 0
        while total and (most is None or total < most):
            found = cursor.execute(f"fetch {BATCH} from sexton_rows").fetchall()
            if not found:
                break
            done += len(found)
            where = f"({change.where}) and {_among(types, found)}"
            yield Batch(replace(change, where=where), done, total)
        cursor.execute("close sexton_rows")
        if keyed or not done:
            return
        most = total


def _read(change: RowChange, types: Mapping[str, str]) -> Any:
    names = [f"this.{quoted(name)}" for name in types]
    # No cast: somebody may have made one.
    texts = ", ".join(f"pg_catalog.format('%s'::pg_catalog.text, {name})" for name in names)
    return f"""
        declare sexton_rows scroll cursor with hold for
        select {texts} from {change.name} as this
        where {change.where} order by {", ".join(names)}
    """  # noqa: S608


def _among(types: Mapping[str, str], found: Sequence[Sequence[str]]) -> str:
    """The condition that `this` is one of the rows that were read."""
    columns = [quoted(f"c{index}") for index in range(len(types))]
    lists = ", ".join(
        f"pg_catalog.unnest({_array(values)}::{type}[])"
        for type, values in zip(types.values(), zip(*found, strict=True), strict=True)
    )
    same = " and ".join(
        f"this.{quoted(name)} operator(pg_catalog.=) k.{column}"
        for name, column in zip(types, columns, strict=True)
    )
    listed = f"rows from ({lists}) as k ({', '.join(columns)})"
    return f"exists (select from {listed} where {same})"


def _array(values: Sequence[str]) -> str:
    escaped = (value.replace("\\", r"\\").replace('"', r"\"") for value in values)
    return literal("{" + ",".join(f'"{value}"' for value in escaped) + "}")
