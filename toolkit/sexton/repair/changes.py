"""Changes: rewriting rows by compare-and-set, and their journal, in one statement.

A row is changed only if it still is what the change says it was, to the bit. Rows go in
blocks of one shape, and the values stay JSON until the server casts them: Python never
looks at them. Only where users' triggers fire does the journal follow once they have.
"""

# ruff: noqa: S608 - quoted names; values are parameters

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from sexton.catalog.cascades import DOES, Key, referring
from sexton.catalog.relations import resolve
from sexton.catalog.tables import Table, describe
from sexton.database import Connection, rows, scalar, settings
from sexton.journal.images import column, image, key_object, pick, read, withheld
from sexton.journal.recorder import entries
from sexton.repair.cascades import may_follow
from sexton.repair.keys import may_share_keys
from sexton.repair.plan import Kind

if TYPE_CHECKING:
    from sexton.repair.aftermath import Aftermath

SEVERAL = "more than one row has its key"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the rows of a block have in common: the table, the kind and the columns.

    `before` are the columns that must still hold, `after` those that are written. Of an
    update, the journal keeps those of `before`; of the others the whole row.
    """

    check: str | None
    table: Table
    kind: Kind
    key: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that one statement rewrites, numbered from `first` within their run.

    `source` is a relation with `step`, `why` and, as jsonb, `key`, and `before` and `after`
    or, where it is `paired`, `change`: an array of both for each column.
    """

    shape: Shape
    first: int
    count: int
    source: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    paired: bool = False

    @property
    def steps(self) -> range:
        """The numbers of its rows."""
        return range(self.first, self.first + self.count)


@dataclass(frozen=True)
class Writer:
    """Makes changes for one run of the journal, in the caller's transaction.

    Where triggers may change the rows again, they go to `aftermath`, which journals them.
    """

    connection: Connection
    run: int
    aftermath: "Aftermath | None" = None
    _shared: dict[int, bool] = field(default_factory=dict)
    _keys: dict[int, list[Key]] = field(default_factory=dict)

    def reached(self, block: Block, *, lifted: bool) -> dict[int, str]:
        """What foreign keys would do elsewhere because of a block's deletions, by step.

        Its rows are locked before, so that no more rows come to refer to them. With
        `lifted`, only what could have been a change of its own. Writes nothing.
        """
        shape = block.shape
        if shape.kind != "delete":
            return {}
        oid = shape.table.relation.oid
        if oid not in self._keys:
            self._keys[oid] = [
                key
                for key in referring(self.connection, oid)
                if key.action in DOES and not (lifted and not self._may_follow(key))
            ]
        if not (keys := self._keys[oid]):
            return {}
        typed, found = _typed(block), dict[int, str]()
        lock: Any = f"""
            with d as not materialized ({typed})
            select from {shape.table.sql} t join d on {_keyed(shape)} for update of t
        """
        self.connection.execute(lock, block.parameters)
        for key in keys:
            others = ""
            if key.child_oid == oid:  # which the same statement deletes
                same = _keyed(shape, "c", "o")
                others = f"where not exists (select from d o where {same})"
            query: Any = f"""
                with d as not materialized ({typed})
                select d.step, pg_catalog.count(*) as rows
                from d join {shape.table.sql} t on {_keyed(shape)}
                join {key.child} c on {key.same("t", "c")} {others}
                group by d.step
            """
            for row in rows(self.connection, query, **block.parameters):
                refer = "rows refer" if row["rows"] > 1 else "row refers"
                said = f"{row['rows']:,} {refer} to it: of {key.shown}"
                found.setdefault(row["step"], said)
        return found

    def _may_follow(self, key: Key) -> bool:
        name = f"{key.child_schema}.{key.child_name}"
        [child] = describe(self.connection, resolve(self.connection, [name])).values()
        return may_follow(key, child)

    def several(self, block: Block) -> list[int]:
        """The steps of rows whose key more than one row has. Reads only."""
        shape = block.shape
        if shape.kind == "insert":
            return []
        oid = shape.table.relation.oid
        if oid not in self._shared:
            self._shared[oid] = may_share_keys(self.connection, shape.table)
        if not self._shared[oid]:
            return []
        query: Any = f"""
            with d as not materialized ({_typed(block)})
            select d.step from d join {shape.table.sql} t on {_keyed(shape)}
            group by d.step having pg_catalog.count(*) > 1 order by d.step
        """
        return [row["step"] for row in rows(self.connection, query, **block.parameters)]

    def make(self, block: Block) -> list[int]:
        """Rewrite rows; return the steps of those that were not: `why` says why.

        Raises psycopg.IntegrityError where a constraint forbids one of them, DataError
        where a column cannot hold a value, Refused if a trigger gives a row another key.
        """
        query: Any = _statement(block, journalled=self.aftermath is None)
        given = {**block.parameters, "run": self.run, "check": block.shape.check}
        # The table's own triggers find their tables; nothing else of ours looks there.
        with (
            settings(self.connection, {"search_path": block.shape.table.path}),
            self.connection.cursor(row_factory=dict_row) as cursor,
        ):
            made = cursor.execute(query, given).rowcount
            if self.aftermath:
                written = cursor.fetchall()
        if self.aftermath:
            if any(row["step"] is None for row in written):
                raise self.aftermath.another_key(block)
            self.aftermath.add(block, written)
            steps = {row["step"] for row in written}
            return [step for step in block.steps if step not in steps]
        if made == block.count:
            return []
        stale = rows(
            self.connection,
            """
            select s.step
            from pg_catalog.generate_series(%s::pg_catalog.int8, %s::pg_catalog.int8)
                as s (step)
            where not exists (
                select from sexton.changes c
                where c.run operator(pg_catalog.=) %s::pg_catalog.int8
                  and c.step operator(pg_catalog.=) s.step
            )
            order by s.step
            """,
            block.first,
            block.first + block.count - 1,
            self.run,
        )
        return [row["step"] for row in stale]

    def why(self, block: Block, stale: Sequence[int], otherwise: str) -> str:
        """Why these rows were not written: a trigger's doing, or `otherwise`."""
        kept_out = self.aftermath.kept_out(block, stale) if self.aftermath else ""
        return kept_out or otherwise


def find_stale(connection: Connection, block: Block) -> list[int]:
    """The steps of the rows that are not as expected. Reads only."""
    shape = block.shape
    test = "exists" if shape.kind == "insert" else "not exists"
    query: Any = f"""
        with d as not materialized ({_typed(block)})
        select d.step from d
        where {test} (select from {shape.table.sql} t where {_same(shape)})
        order by d.step
    """
    return [row["step"] for row in rows(connection, query, **block.parameters)]


def _typed(block: Block) -> str:
    """The rows with their values cast: k0, k1, ..., b0, ..., a0, ..."""
    shape = block.shape
    before, after = ("change", "change") if block.paired else ("before", "after")
    indexes = (0, 1) if block.paired else (None, None)
    listed = ["d.step", "d.why", "d.key"]
    for letter, names, json, at in (
        ("k", shape.key, "key", None),
        ("b", shape.before, before, indexes[0]),
        ("a", shape.after, after, indexes[1]),
    ):
        listed += [
            f"{read(shape.table, name, f'd.{json}', at)} as {letter}{index}"
            for index, name in enumerate(names)
        ]
    return f"select {', '.join(listed)} from {block.source} d"


def _keyed(shape: Shape, row: str = "t", given: str = "d") -> str:
    return " and ".join(
        f"{row}.{column(name)} operator(pg_catalog.=) {given}.k{index}"
        for index, name in enumerate(shape.key)
    )


def _same(shape: Shape) -> str:
    """The condition that row `t` is the one meant, and as expected.

    Whether a type has an equality or not, what it holds can be compared as it is stored.
    """
    if not shape.before:
        return _keyed(shape)
    now = ", ".join(f"t.{column(name)}" for name in shape.before)
    then = ", ".join(f"d.b{index}" for index in range(len(shape.before)))
    as_it_was = (
        f"row({now})::pg_catalog.record operator(pg_catalog.*=) "
        f"row({then})::pg_catalog.record"
    )
    return f"{_keyed(shape)} and {as_it_was}"


def _statement(block: Block, *, journalled: bool) -> str:
    """The data-modifying statement for a block, with its journal, or what that needs."""
    shape, table = block.shape, block.shape.table
    news = [f"d.a{index}" for index in range(len(shape.after))]
    none, nothing = "null::pg_catalog.jsonb", "null::pg_catalog.text[]"
    inserted = ""
    more = ""
    if not journalled:
        meant = dict(zip(shape.after, news, strict=True)) if shape.kind == "update" else {}
        more = (
            f", {key_object(table.key or shape.key, 't')} as id, "
            f"{pick(table, meant) if meant else none} as meant"
        )
    if shape.kind == "update":
        sets = ", ".join(
            f"{column(name)} = {new}" for name, new in zip(shape.after, news, strict=True)
        )
        before = {name: f"d.b{index}" for index, name in enumerate(shape.before)}
        after = {name: f"t.{column(name)}" for name in shape.before}
        done = f"""
            update {table.sql} t set {sets} from d where {_same(shape)}
            returning d.step, d.why, d.key, {pick(table, before)} as before,
                {pick(table, after)} as after, {nothing} as withheld{more}
        """
    elif shape.kind == "delete":
        done = f"""
            delete from {table.sql} t using d where {_same(shape)}
            returning d.step, d.why, d.key, {image(table, "t")} as before, {none} as after,
                {withheld(table, "t", None)} as withheld{more}
        """
    else:
        inserted = f"""
            t as (
                insert into {table.sql} ({", ".join(map(column, shape.after))})
                overriding system value
                select {", ".join(news)} from d order by d.step
                on conflict do nothing
                returning *
            ),
        """
        # A full join is never a nested loop, which statistics that do not know the rows
        # yet would choose, over two lists without an index. CASE keeps it one. A row to
        # which a trigger gave another key has no step.
        keys = " or ".join(f"t.{column(name)} is null" for name in shape.key)
        inserts = f"case when {keys} then false else true end"
        done = f"""
            select d.step, d.why, d.key, {none} as before, {image(table, "t")} as after,
                {nothing} as withheld{more}
            from t full join d on {_keyed(shape)} where {inserts}
        """
    return f"""
        with d as materialized ({_typed(block)}),
        {inserted}
        done as ({done})
        {journal(shape) if journalled else RETURNED}
    """


def journal(shape: Shape) -> str:
    """The INSERT that journals the rows of the CTE `done`."""
    check = "%(check)s::pg_catalog.text"
    return entries(shape.table, "done", step="done.step", check=check, why="done.why")


# Rows that were written and are not in the journal yet, as text: Python hands them back.
RETURNED = """
    select done.step, done.id::pg_catalog.text as id, pg_catalog.jsonb_build_object(
        'step', done.step, 'key', done.key, 'why', done.why, 'id', done.id,
        'before', done.before, 'written', done.after, 'meant', done.meant,
        'withheld', done.withheld
    )::pg_catalog.text as entry
    from done
"""


def count_journalled(connection: Connection, run: int, block: Block) -> int:
    """How many of a block's rows a run's journal has, each under its own step."""
    query: Any = f"""
        select pg_catalog.count(*) as found
        from {block.source} d
        join sexton.changes c
          on c.run operator(pg_catalog.=) %(run)s::pg_catalog.int8
         and c.step operator(pg_catalog.=) d.step
         and c.key operator(pg_catalog.=) d.key
         and c.table_name operator(pg_catalog.=) %(table)s::pg_catalog.text
         and c.check_name operator(pg_catalog.=) %(check)s::pg_catalog.text
    """
    shape = block.shape
    given = {"run": run, "table": shape.table.relation.name, "check": shape.check}
    return int(scalar(connection, query, **block.parameters, **given))
