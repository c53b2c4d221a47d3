"""Changes that write the journal themselves: one statement for the rows and their record.

The journal holds rows as the server has them: `to_jsonb` in the statement, no trip through
Python. What JSON cannot tell apart is told apart here, and secrets are left out.
"""

# ruff: noqa: S608 - quoted names and a declaration's own SQL; values are parameters

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sexton.catalog.relations import quoted
from sexton.catalog.tables import Table
from sexton.database import Connection, rows
from sexton.journal.images import column, image, key_object, text, withheld

INTO = """
    insert into sexton.changes
        (run, step, check_name, table_schema, table_name, relation,
         key, before, after, withheld, why)
"""


def entries(table: Table, done: str, *, step: str, check: str = "null", why: str) -> str:
    """The INSERT that journals the rows of the CTE `done`: key, before, after, withheld.

    `step`, `check` and `why` are SQL over its rows; the parameter `run` is the run.
    """
    relation = table.relation
    return f"""
        {INTO}
        select
            %(run)s, {step}, {check}, {text(relation.schema)}, {text(relation.name)},
            {relation.oid}, done.key, done.before, done.after, done.withheld, {why}
        from {done} done
    """


def following(order: str) -> str:
    """The number of each row's step, after those that the run has already."""
    return f"""
        (
            select coalesce(pg_catalog.max(c.step), 0::pg_catalog.int8)
            from sexton.changes c where c.run = %(run)s
        ) + pg_catalog.row_number() over (order by {order})
    """


@dataclass(frozen=True)
class Change:
    """One change of a table's rows, to be made by a Recorder.

    `ctes` makes its SQL: of its index in the statement, and of a condition that must hold
    beside its own. `returning` names what is returned of each row, with the SQL over
    `this`: the row as it now is; of a deletion, which `deletes` says, as it was.
    """

    table: Table
    why: str
    ctes: Callable[[int, str], str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    returning: Mapping[str, str] = field(default_factory=dict)
    deletes: bool = False

    def given(self, why: str, **parameters: Any) -> "Change":
        """The same change with its reason and values, which its SQL does not hold."""
        return replace(self, why=why, parameters={**self.parameters, **parameters})


def updating(
    table: Table,
    assignments: Mapping[str, str],
    where: str,
    *,
    why: str,
    parameters: Mapping[str, Any] | None = None,
    returning: Mapping[str, str] | None = None,
) -> Change:
    """Set columns to expressions over `this`, the row before, where `where` holds.

    The rows are locked first, so before and after are those of the change itself.
    """
    sets = ", ".join(f"{column(n)} = {value}" for n, value in assignments.items())
    same = " and ".join(
        f"this.{column(name)} operator(pg_catalog.=) old.{column(name)}"
        for name in table.key
    )
    images = _images(table, "old", "this", returning or {})

    def ctes(index: int, given: str) -> str:
        return f"""
            old{index} as materialized (
                select this.* from {table.sql} as this
                where ({where}) and {given} for no key update
            ),
            changed{index} as (
                update {table.sql} as this set {sets} from old{index} as old where {same}
                returning {images}
            )
        """

    return Change(table, why, ctes, parameters or {}, returning or {})


def deleting(
    table: Table,
    where: str,
    *,
    why: str,
    parameters: Mapping[str, Any] | None = None,
    returning: Mapping[str, str] | None = None,
) -> Change:
    """Delete the rows where `where` holds."""
    images = _images(table, "this", None, returning or {})

    def ctes(index: int, given: str) -> str:
        return f"""
            changed{index} as (
                delete from {table.sql} as this where ({where}) and {given}
                returning {images}
            )
        """

    return Change(table, why, ctes, parameters or {}, returning or {}, deletes=True)


def inserting(
    table: Table,
    columns: Sequence[str],
    source: str,
    *,
    why: str,
    parameters: Mapping[str, Any] | None = None,
    returning: Mapping[str, str] | None = None,
    conflict: str = "",
) -> Change:
    """Insert what `source` returns, `values (…)` or a query, into these columns."""
    images = _images(table, None, "this", returning or {})

    def ctes(index: int, given: str) -> str:
        if index:
            raise ValueError("an insertion waits for no other change")
        del given
        return f"""
            changed{index} as (
                insert into {table.sql} as this ({", ".join(map(column, columns))})
                {source}
                {conflict}
                returning {images}
            )
        """

    return Change(table, why, ctes, parameters or {}, returning or {})


def _images(
    table: Table, before: str | None, after: str | None, returning: Mapping[str, str]
) -> str:
    """What a change returns of each row, for the journal and for who asked."""
    none = "null::pg_catalog.jsonb"
    return ", ".join(
        [
            f'{key_object(table.key, before or after or "")} as "the key"',
            f'{image(table, before) if before else none} as "the row before"',
            f'{image(table, after) if after else none} as "the row after"',
            f'{withheld(table, before, after)} as "what is withheld"',
            *(f"{sql} as {quoted(name)}" for name, sql in returning.items()),
        ]
    )


@dataclass(frozen=True)
class Statement:
    """Changes composed into one statement; values may follow, see `Change.given`."""

    changes: Sequence[Change]
    sql: str


@dataclass(frozen=True)
class Made:
    """What changes returned: the rows of each, and what the database knew around them."""

    rows: list[list[dict[str, Any]]]
    around: Any


@dataclass(frozen=True)
class Recorder:
    """Makes changes and their journal in the caller's transaction.

    `run` is the journal's number, None where nothing is to be recorded.
    """

    connection: Connection
    run: int | None

    def make(self, change: Change) -> list[dict[str, Any]]:
        """Make a change; return what it returns of each row, in no order."""
        return self.send(self.compose([change]), [(change, 0)]).rows[0]

    def compose(self, changes: Sequence[Change], around: str = "null") -> Statement:
        """Changes as one statement, to be sent with their values.

        All see the tables as they were before the first: they must not meet in a row, and
        they return columns of the same names and types. `around` is SQL for what is to be
        known beside them, while their locks are held.
        """
        ctes, journal, shown = [], [], []
        condition = "true"
        for index, change in enumerate(changes):
            ctes.append(change.ctes(index, condition))
            condition += (
                f" and (select pg_catalog.count(*) from changed{index} c where c.done)"
                f" operator(pg_catalog.=) %(rows {index})s::pg_catalog.int8"
            )
            journal.append(_done(change.table, index))
            names = "".join(f", c.{quoted(name)}" for name in change.returning)
            shown.append(f'select {index} as "the index"{names} from changed{index} c')
        if self.run is not None:
            ctes.append(f"journalled as ({_journalling(journal)})")
        found = " union all ".join(shown)
        sql = f"""
            with {", ".join(ctes)}
            select made.*, ({around}) as "what is around" from ({found}) made
        """
        return Statement(changes, sql)

    def send(self, statement: Statement, changes: Sequence[tuple[Change, int]]) -> Made:
        """Make a statement's changes, with their values, each with its number of rows.

        A change is made only where those before it changed so many rows for which the
        `done` that they return is true.
        """
        given: dict[str, Any] = {"run": self.run}
        for index, (change, count) in enumerate(changes):
            own = {**change.parameters, f"why {index}": change.why}
            own[f"rows {index}"] = count
            for name, value in own.items():
                if given.setdefault(name, value) != value:
                    raise ValueError(f"two changes have a parameter {name}")
        found: list[list[dict[str, Any]]] = [[] for _ in changes]
        around = None
        query: Any = statement.sql
        for row in rows(self.connection, query, **given):
            around = row.pop("what is around")
            found[row.pop("the index")].append(row)
        return Made(found, around)


def _done(table: Table, index: int) -> str:
    relation = table.relation
    return f"""
        select
            {index} as index, {text(relation.schema)} as schema,
            {text(relation.name)} as name, {relation.oid}::pg_catalog.oid as oid,
            c."the key" as key, c."the row before" as before, c."the row after" as after,
            c."what is withheld" as withheld, %(why {index})s::pg_catalog.text as why
        from changed{index} c
    """


def _journalling(parts: Sequence[str]) -> str:
    return f"""
        {INTO}
        select
            %(run)s,
            {following("done.index, done.key")},
            null, done.schema, done.name, done.oid,
            done.key, done.before, done.after, done.withheld, done.why
        from ({" union all ".join(parts)}) done
    """
