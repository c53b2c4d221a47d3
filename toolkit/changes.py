"""Changes: rewriting rows by compare-and-set, and their journal, in one statement.

A row is changed only if it still is what the change says it was. The rows of one
statement have one shape: the same table, kind and columns.
"""

# ruff: noqa: S608 - names of tables and columns go in as text, values as parameters

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.database import Connection, rows
from toolkit.journal import SECRETS
from toolkit.plans import Kind

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One row to rewrite: `before` must still hold, `after` will.

    An insert has no before, a delete no after. `step` numbers it within its run.
    """

    step: int
    check: str | None
    table: str
    key: Row
    before: Row | None
    after: Row | None
    why: str = ""

    @property
    def kind(self) -> Kind:
        """Whether a row is inserted, updated or deleted."""
        if self.before is None:
            return "insert"
        return "update" if self.after is not None else "delete"

    @property
    def shape(self) -> tuple[object, ...]:
        """Changes of one shape can be made by one statement."""
        sides = (tuple(self.key), tuple(self.before or ()), tuple(self.after or ()))
        return (self.check, self.table, self.kind, *sides)


def of_one_shape(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """Neighbours that can go in one statement; the order stays."""
    group: list[Change] = []
    for change in changes:
        if group and group[0].shape != change.shape:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


class Writer:
    """Makes changes for one run of the journal, in the caller's transaction."""

    def __init__(self, connection: Connection, run: int) -> None:
        self.connection = connection
        self.run = run
        self._types: dict[str, dict[str, str]] = {}

    def make(self, group: Sequence[Change]) -> list[Change]:
        """Make changes of one shape; return those whose row was not as expected.

        Raises psycopg.IntegrityError where a constraint forbids one of them.
        """
        first = group[0]
        types = self.types(first.table)
        query: Any = _statement(first, types)
        parameters = {
            "rows": json.dumps([_flat(change) for change in group], default=str),
            "run": self.run,
            "check": first.check,
            "table": first.table,
        }
        made = self.connection.execute(query, parameters).rowcount
        if made == len(group):
            return []
        done = {
            row["step"]
            for row in rows(
                self.connection,
                "select step from sexton.changes where run = %s and step between %s and %s",
                self.run,
                group[0].step,
                group[-1].step,
            )
        }
        return [change for change in group if change.step not in done]

    def types(self, table: str) -> dict[str, str]:
        """The table's columns and their types, looked up once."""
        if table not in self._types:
            self._types[table] = column_types(self.connection, table)
        return self._types[table]


def moved(connection: Connection, group: Sequence[Change]) -> list[Change]:
    """Those of some changes of one shape whose row is not as expected. Reads only."""
    first = group[0]
    types = column_types(connection, first.table)
    test = "not exists" if first.kind != "insert" else "exists"
    query: Any = f"""
        select d.step
        from {_recordset(first, types)}
        where {test} (
            select from {first.table} t where {_same(first, types)}
        )
        order by d.step
    """
    parameters = {"rows": json.dumps([_flat(change) for change in group], default=str)}
    found = {row["step"] for row in connection.execute(query, parameters)}
    return [change for change in group if change.step in found]


def column_types(connection: Connection, table: str) -> dict[str, str]:
    """The columns of a table, in order, and their types in SQL's spelling."""
    found = rows(
        connection,
        """
        select attname as name, format_type(atttypid, atttypmod) as type
        from pg_catalog.pg_attribute
        where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
        order by attnum
        """,
        table,
    )
    return {column["name"]: column["type"] for column in found}


def quoted(name: str) -> str:
    """A column's name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _flat(change: Change) -> Row:
    flat: Row = {"step": change.step, "why": change.why}
    for letter, side in (("k", change.key), ("b", change.before), ("a", change.after)):
        for place, value in enumerate((side or {}).values()):
            flat[f"{letter}{place}"] = value
    return flat


def _recordset(first: Change, types: dict[str, str]) -> str:
    typed = ["step bigint", "why text"]
    for letter, side in (("k", first.key), ("b", first.before), ("a", first.after)):
        typed += [f"{letter}{place} {types[name]}" for place, name in enumerate(side or {})]
    return f"jsonb_to_recordset(%(rows)s::jsonb) as d ({', '.join(typed)})"


def _same(first: Change, types: dict[str, str]) -> str:
    """The condition that row `t` is the one meant, and as expected."""
    conditions = [f"t.{quoted(name)} = d.k{place}" for place, name in enumerate(first.key)]
    for place, name in enumerate(first.before or {}):
        # The type json has no equality; its text will do.
        cast = "::text" if types[name] == "json" else ""
        conditions.append(f"t.{quoted(name)}{cast} is not distinct from d.b{place}{cast}")
    return " and ".join(conditions)


def _object(names: Iterable[str], source: str) -> str:
    """A jsonb object of columns; secrets stay in their table."""
    pairs = []
    for place, name in enumerate(names):
        if name not in SECRETS:
            literal = "'" + name.replace("'", "''") + "'"
            value = f"t.{quoted(name)}" if source == "t" else f"d.{source}{place}"
            pairs.append(f"{literal}, {value}")
    return f"jsonb_build_object({', '.join(pairs)})"


def _statement(first: Change, types: dict[str, str]) -> str:
    """The data-modifying statement for changes of this shape."""
    columns = list(first.after or {})
    names = ", ".join(quoted(name) for name in columns)
    afters = ", ".join(f"d.a{place}" for place in range(len(columns)))
    key, before = _object(first.key, "k"), _object(first.before or {}, "b")
    after = _object(columns, "t")
    told = f"d.step, d.why, {key} as key"
    table = first.table
    if first.kind == "update":
        sets = ", ".join(
            f"{quoted(name)} = d.a{place}" for place, name in enumerate(columns)
        )
        done = f"""
            update {table} t set {sets} from d where {_same(first, types)}
            returning {told}, {before} as before, {after} as after
        """
    elif first.kind == "delete":
        done = f"""
            delete from {table} t using d where {_same(first, types)}
            returning {told}, {before} as before, null::jsonb as after
        """
    else:
        keys = " and ".join(
            f"t.{quoted(name)} = d.k{place}" for place, name in enumerate(first.key)
        )
        done = f"""
            select {told}, null::jsonb as before, {after} as after
            from t join d on {keys}
        """
    inserted = (
        f"t as (insert into {table} ({names}) select {afters} from d order by d.step "
        "on conflict do nothing returning *),"
        if first.kind == "insert"
        else ""
    )
    return f"""
        with d as (select * from {_recordset(first, types)}),
        {inserted}
        done as ({done})
        insert into sexton.changes
            (run, step, check_name, table_name, key, before, after, why)
        select
            %(run)s, step, %(check)s, %(table)s, key, before, after, why
        from done
    """
