"""The database as it will be once planned changes are made, for queries to read.

A query's tables are replaced by common table expressions of the same names, which hold
the rows as they will be. Nothing is written, so this works for a role that may only read,
and on a standby.
"""

# ruff: noqa: S608 - quoted names and a check's own SQL; values are parameters

from collections.abc import Hashable, Mapping
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from sexton.catalog.relations import bind
from sexton.catalog.tables import Table
from sexton.check import Check
from sexton.database import Connection
from sexton.journal.images import column, read
from sexton.repair import proposals
from sexton.repair.plan import Action, Kind
from sexton.text.exact import canonical, identity, loads

Row = dict[str, Any]


class Simulation:
    """Collects planned changes, and answers queries as if they were made.

    `tables` are those that the queries name; one that is not there is left out.
    """

    def __init__(self, connection: Connection, tables: Mapping[str, Table]) -> None:
        self.connection = connection
        self.tables = tables
        self._changed: dict[str, dict[Hashable, tuple[Kind, Row, Row]]] = {}
        self._made: dict[str, tuple[str, dict[str, str]]] = {}

    def absent(self, check: Check) -> bool:
        """Whether the check cannot look, for a table or a column is not there."""
        return bool(check.absent) or any(
            not set(needed) <= set(self.tables[table].columns)
            if table in self.tables
            else table not in check.fallbacks
            for table, needed in check.reads.items()
        )

    def add(self, action: Action) -> None:
        """Take a planned change into account."""
        name = identity(action.key)
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
        found = self._changed.get(action.table, {}).get(identity(action.key))
        return found[2] if found else {}

    def ask(self, check: Check, query: str, more: Row | None = None) -> list[Row]:
        """The rows of a query over a check's tables, in which `%` is doubled."""
        expressions = []
        parameters = {name: canonical(value) for name, value in (more or {}).items()}
        named = {*check.reads, *(proposals.table_of(check, r) for r in check.repairs)}
        for name in sorted(named):
            source = proposals.escaped(check.fallbacks.get(name, ""))
            if table := self.tables.get(name):
                source = f"select * from {table.sql}"
                if name in self._changed:
                    source, values = self._overlay(name)
                    parameters |= values
            if source:
                expressions.append(f"{column(name)} as not materialized ({source})")
        known = {n.replace("%", "%%"): table.relation for n, table in self.tables.items()}
        bound = bind(query, known)
        prefix = f"with {', '.join(expressions)} " if expressions else ""
        whole: Any = f"{prefix}select * from ({bound}) as planned"
        with self.connection.cursor(row_factory=dict_row) as cursor:
            set_json_loads(loads, cursor)
            return cursor.execute(whole, parameters).fetchall()

    def find(self, check: Check) -> list[Row]:
        """The check's findings."""
        found = self.ask(check, proposals.escaped(check.find))
        if check.judge:
            return [row for row in map(check.judge, found) if row is not None]
        return found

    def _overlay(self, name: str) -> tuple[str, dict[str, str]]:
        """The query for the table as it will be, and its values as JSON."""
        if name not in self._made:
            self._made[name] = self._make_overlay(name)
        return self._made[name]

    def _make_overlay(self, name: str) -> tuple[str, dict[str, str]]:
        table = self.tables[name]
        shapes: dict[tuple[Any, ...], list[Row]] = {}
        for kind, key, after in self._changed[name].values():
            names = tuple(sorted(after)) if kind != "delete" else ()
            shapes.setdefault((kind, tuple(key), names), []).append({"k": key, "a": after})
        untouched, parts, values = [], [], {}
        for number, ((kind, keys, names), changes) in enumerate(shapes.items()):
            parameter = f"change_{list(self._changed).index(name)}_{number}"
            values[parameter] = canonical(changes)
            typed = [f"{read(table, k, 'j.k')} as k{i}" for i, k in enumerate(keys)]
            typed += [f"{read(table, n, 'j.a')} as a{i}" for i, n in enumerate(names)]
            shape = (
                f"(select {', '.join(typed)} from pg_catalog.jsonb_to_recordset("
                f"%({parameter})s::pg_catalog.jsonb) as j "
                "(k pg_catalog.jsonb, a pg_catalog.jsonb) offset 0)"
            )
            same = " and ".join(f"d.k{i} = t.{column(k)}" for i, k in enumerate(keys))
            if kind != "insert":
                untouched.append(f"not exists (select from {shape} d where {same})")
            shown = []
            for column_name, its in table.columns.items():
                if column_name in names:
                    value = f"d.a{names.index(column_name)}"
                elif kind == "insert":
                    value = f"null::{its.type}"
                else:
                    value = f"t.{column(column_name)}"
                shown.append(f"{value} as {column(column_name)}")
            if kind == "update":
                parts.append(
                    f"select {', '.join(shown)} from {table.sql} t join {shape} d on {same}"
                )
            elif kind == "insert":
                parts.append(f"select {', '.join(shown)} from {shape} d")
        condition = f" where {' and '.join(untouched)}" if untouched else ""
        listed = ", ".join(f"t.{column(its)}" for its in table.columns)
        parts.insert(0, f"select {listed} from {table.sql} t{condition}")
        return " union all ".join(parts), values
