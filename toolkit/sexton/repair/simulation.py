"""The database as it will be once planned changes are made, for queries to read.

A query's tables are replaced by common table expressions of the same names, which hold
the rows as they will be. Nothing is written, so this works for a role that may only read,
and on a standby.
"""

# ruff: noqa: S608 - names of tables and columns go in as text, values as parameters

import json
from collections.abc import Iterable
from typing import Any

from sexton.check import Check
from sexton.database import Connection, rows
from sexton.repair.changes import quoted
from sexton.repair.plan import Action, Kind
from sexton.schema import column_types

Row = dict[str, Any]


class Simulation:
    """Collects planned changes, and answers queries as if they were made."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._changed: dict[str, dict[str, tuple[Kind, Row, Row]]] = {}
        self._types: dict[str, dict[str, str]] = {}
        self._made: dict[str, tuple[list[str], Row]] = {}

    def absent(self, check: Check) -> bool:
        """Whether the check cannot look, for a table or a column is not there."""
        return any(
            not set(needed) <= set(self._columns(table))
            for table, needed in check.reads.items()
            if self._columns(table) or table not in check.fallbacks
        )

    def has(self, table: str, columns: Iterable[str]) -> bool:
        """Whether the table has these columns."""
        return set(columns) <= set(self._columns(table))

    def add(self, action: Action) -> None:
        """Take a planned change into account."""
        name = json.dumps(action.key, sort_keys=True)
        after = {column: pair[1] for column, pair in action.change.items()}
        rows_of_table = self._changed.setdefault(action.table, {})
        kind: Kind = action.kind
        if name in rows_of_table:
            earlier, _, so_far = rows_of_table[name]
            after = {**so_far, **after}
            kind = "insert" if earlier == "insert" and kind == "update" else kind
        rows_of_table[name] = (kind, action.key, after)
        self._made.pop(action.table, None)

    def pending(self, action: Action) -> Row:
        """What earlier planned changes make of the row's columns; empty for none."""
        name = json.dumps(action.key, sort_keys=True)
        found = self._changed.get(action.table, {}).get(name)
        return found[2] if found else {}

    def query(self, check: Check, query: str) -> list[Row]:
        """The rows of a check's query."""
        tables: list[str] = []
        parameters: Row = {}
        for table in check.reads:
            if not self._columns(table):
                tables.append(f"{table} as ({check.fallbacks[table]})")
            elif table in self._changed:
                made, values = self._overlay(table)
                tables += made
                parameters |= values
        if not parameters:
            prefix = f"with {', '.join(tables)} " if tables else ""
            plain: Any = f"{prefix}select * from ({query}) as planned"
            return rows(self.connection, plain)
        escaped = f"select * from ({query}) as planned".replace("%", "%%")
        whole: Any = f"with {', '.join(tables)} {escaped}"
        return self.connection.execute(whole, parameters).fetchall()

    def find(self, check: Check) -> list[Row]:
        """The check's findings."""
        found = self.query(check, check.find)
        if check.judge:
            return [row for row in map(check.judge, found) if row is not None]
        return found

    def _columns(self, table: str) -> dict[str, str]:
        if table not in self._types:
            self._types[table] = column_types(self.connection, table)
        return self._types[table]

    def _overlay(self, table: str) -> tuple[list[str], Row]:
        """Expressions that end in the table as it will be, and their values."""
        if table not in self._made:
            self._made[table] = self._make_overlay(table)
        return self._made[table]

    def _make_overlay(self, table: str) -> tuple[list[str], Row]:
        types = self._columns(table)
        shapes: dict[tuple[Any, ...], list[Row]] = {}
        for kind, key, after in self._changed[table].values():
            names = tuple(sorted(after)) if kind != "delete" else ()
            flat = {f"k{place}": value for place, value in enumerate(key.values())}
            flat |= {f"a{place}": after[name] for place, name in enumerate(names)}
            shapes.setdefault((kind, tuple(key), names), []).append(flat)
        expressions, untouched, parts, values = [], [], [], {}
        for number, ((kind, keys, names), flats) in enumerate(shapes.items()):
            shape = f'"{table}, change {number}"'
            typed = [f"k{place} {types[name]}" for place, name in enumerate(keys)]
            typed += [f"a{place} {types[name]}" for place, name in enumerate(names)]
            parameter = f"{table}_{number}"
            values[parameter] = json.dumps(flats, default=str)
            expressions.append(
                f"{shape} as materialized (select * from "
                f"jsonb_to_recordset(%({parameter})s::jsonb) as d ({', '.join(typed)}))"
            )
            same = " and ".join(
                f"d.k{place} = t.{quoted(name)}" for place, name in enumerate(keys)
            )
            if kind != "insert":
                untouched.append(f"not exists (select from {shape} d where {same})")
            shown = []
            for name, type in types.items():
                if name in names:
                    value = f"d.a{names.index(name)}"
                elif kind == "insert":
                    value = f"null::{type}"
                else:
                    value = f"t.{quoted(name)}"
                shown.append(f"{value} as {quoted(name)}")
            if kind == "update":
                parts.append(
                    f"select {', '.join(shown)} from {table} t join {shape} d on {same}"
                )
            elif kind == "insert":
                parts.append(f"select {', '.join(shown)} from {shape} d")
        condition = f" where {' and '.join(untouched)}" if untouched else ""
        listed = ", ".join(f"t.{quoted(name)}" for name in types)
        parts.insert(0, f"select {listed} from {table} t{condition}")
        expressions.append(f"{table} as ({' union all '.join(parts)})")
        return expressions, values
