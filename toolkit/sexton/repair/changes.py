"""Changes: rewriting rows by compare-and-set, and their journal, in one statement.

A row is changed only if it still is what the change says it was. Rows go in blocks of one
shape, and the values stay JSON until the server casts them: Python never looks at them.
"""

# ruff: noqa: S608 - names of tables and columns go in as text, values as parameters

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sexton.database import Connection, rows
from sexton.project import current
from sexton.repair.plan import Kind
from sexton.schema import column_types


@dataclass(frozen=True, slots=True)
class Shape:
    """What the rows of a block have in common: the table, the kind and the columns.

    `before` are the columns that must still hold, `after` those that are written.
    """

    check: str | None
    table: str
    kind: Kind
    key: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that one statement rewrites, numbered from `first` within their run.

    `source` is a relation with `step`, `why`, `key` (jsonb), and the jsonb in which the
    values are: `where`, `old` and `new` say where those of the key, before and after are,
    by the name of the jsonb and the path in it, with `{}` for the column.
    """

    shape: Shape
    first: int
    count: int
    source: str
    where: tuple[str, ...]
    old: tuple[str, ...]
    new: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)


class Writer:
    """Makes changes for one run of the journal, in the caller's transaction."""

    def __init__(self, connection: Connection, run: int) -> None:
        self.connection = connection
        self.run = run

    def make(self, block: Block) -> list[int]:
        """Rewrite rows; return the steps of those that were not as expected.

        Raises psycopg.IntegrityError where a constraint forbids one of them.
        """
        types = column_types(self.connection, block.shape.table)
        query: Any = _statement(block, types)
        parameters = {
            **block.parameters,
            "run": self.run,
            "check": block.shape.check,
            "table": block.shape.table,
        }
        made = self.connection.execute(query, parameters).rowcount
        if made == block.count:
            return []
        last = block.first + block.count - 1
        missed = rows(
            self.connection,
            """
            select s.step from generate_series(%s::bigint, %s::bigint) as s (step)
            where not exists (
                select from sexton.changes c where c.run = %s and c.step = s.step
            )
            order by s.step
            """,
            block.first,
            last,
            self.run,
        )
        return [row["step"] for row in missed]


def moved(connection: Connection, block: Block) -> list[int]:
    """The steps of the rows that are not as expected. Reads only."""
    shape = block.shape
    types = column_types(connection, shape.table)
    test = "exists" if shape.kind == "insert" else "not exists"
    query: Any = f"""
        with d as not materialized ({_typed(block, types)})
        select d.step from d
        where {test} (select from {shape.table} t where {_same(shape, types)})
        order by d.step
    """
    return [row["step"] for row in connection.execute(query, block.parameters)]


def quoted(name: str) -> str:
    """A column's name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _literal(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _typed(block: Block, types: dict[str, str]) -> str:
    """The rows with their values cast: k0, k1, ..., b0, ..., a0, ..."""
    shape = block.shape
    listed = ["d.step", "d.why", "d.key"]
    for letter, names, (json, *path) in (
        ("k", shape.key, block.where),
        ("b", shape.before, block.old),
        ("a", shape.after, block.new),
    ):
        for place, name in enumerate(names):
            where = ", ".join(_literal(name if p == "{}" else p) for p in path)
            value = _cast(f"d.{json}", f"array[{where}]", types[name], shape.table, name)
            listed.append(f"{value} as {letter}{place}")
    return f"select {', '.join(listed)} from {block.source} d"


def _cast(json: str, path: str, type: str, table: str, name: str) -> str:
    if type == "jsonb":
        return f"nullif({json} #> {path}, 'null')"
    if type.endswith("[]"):  # whose text in JSON is not its text in SQL
        row = f"jsonb_build_object({_literal(name)}, {json} #> {path})"
        return f"(jsonb_populate_record(null::{table}, {row})).{quoted(name)}"
    return f"({json} #>> {path})::{type}"


def _same(shape: Shape, types: dict[str, str]) -> str:
    """The condition that row `t` is the one meant, and as expected."""
    conditions = [_keyed(shape)]
    for place, name in enumerate(shape.before):
        # The type json has no equality; its text will do.
        cast = "::text" if types[name] == "json" else ""
        conditions.append(f"t.{quoted(name)}{cast} is not distinct from d.b{place}{cast}")
    return " and ".join(conditions)


def _keyed(shape: Shape) -> str:
    return " and ".join(
        f"t.{quoted(name)} = d.k{place}" for place, name in enumerate(shape.key)
    )


def _object(names: Iterable[str], values: Sequence[str]) -> str:
    """A jsonb object of columns; secrets stay in their table."""
    pairs = [
        f"{_literal(name)}, {value}"
        for name, value in zip(names, values, strict=True)
        if name not in current().secrets
    ]
    return f"jsonb_build_object({', '.join(pairs)})"


def _statement(block: Block, types: dict[str, str]) -> str:
    """The data-modifying statement for a block, with its journal."""
    shape, table = block.shape, block.shape.table
    olds = [f"d.b{place}" for place in range(len(shape.before))]
    news = [f"d.a{place}" for place in range(len(shape.after))]
    before = _object(shape.before, olds)
    after = _object(shape.after, [f"t.{quoted(name)}" for name in shape.after])
    none = "null::jsonb"
    inserted = ""
    if shape.kind == "update":
        sets = ", ".join(
            f"{quoted(name)} = {new}" for name, new in zip(shape.after, news, strict=True)
        )
        done = f"""
            update {table} t set {sets} from d where {_same(shape, types)}
            returning d.step, d.why, d.key, {before} as before, {after} as after
        """
    elif shape.kind == "delete":
        done = f"""
            delete from {table} t using d where {_same(shape, types)}
            returning d.step, d.why, d.key, {before} as before, {none} as after
        """
    else:
        names = ", ".join(map(quoted, shape.after))
        inserted = f"""
            t as (
                insert into {table} ({names})
                select {", ".join(news)} from d order by d.step
                on conflict do nothing
                returning *
            ),
        """
        done = f"""
            select d.step, d.why, d.key, {none} as before, {after} as after
            from t join d on {_keyed(shape)}
        """
    return f"""
        with d as materialized ({_typed(block, types)}),
        {inserted}
        done as ({done})
        insert into sexton.changes
            (run, step, check_name, table_name, key, before, after, why)
        select
            %(run)s, step, %(check)s, %(table)s, key, before, after, why
        from done
    """
