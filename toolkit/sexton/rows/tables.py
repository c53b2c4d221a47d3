"""The declared tables of one connection, and SQL about their rows by key."""

# ruff: noqa: S608 - quoted names and a declaration's own SQL; values are parameters

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from psycopg import errors
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from sexton.audit.reference_facts import Pair, facts
from sexton.catalog.tables import Table, read_tables
from sexton.check import Reference as SoftReference
from sexton.database import Connection, settings
from sexton.errors import UsageError
from sexton.journal.images import column, key_object
from sexton.project import Project
from sexton.reference import Declarations, Reference
from sexton.rows.result import Key
from sexton.text.nearest import did_you_mean
from sexton.text.printable import printable

# A numeric key must not pass through a binary fraction.
exact = functools.partial(json.loads, parse_float=Decimal)


@dataclass(frozen=True)
class Tables:
    """What a project declares, resolved on a connection."""

    connection: Connection
    project: Project

    @property
    def declared(self) -> Declarations:
        """The project's declarations."""
        assert self.project.declared is not None
        return self.project.declared

    @cached_property
    def tables(self) -> dict[str, Table]:
        """By declared name; keyed by the primary key, else by the declared id."""
        found = read_tables(self.connection, self.declared.tables())
        return {
            name: table if table.key else replace(table, key=self.declared.id(name))
            for name, table in found.items()
        }

    @cached_property
    def pairs(self) -> dict[str, tuple[Pair, ...]]:
        """Of each reference, by its label, how its columns are compared."""
        wanted = {
            (ref.source.table, SoftReference(ref.source.columns, *_target(ref))): ref.label
            for ref in self.references
        }
        relations = {name: table.relation for name, table in self.tables.items()}
        found = facts(self.connection, wanted, relations)
        return {wanted[asked]: known.pairs for asked, known in found.items()}

    def joined(self, ref: Reference, child: str, parent: str) -> str:
        """The condition that the rows of two aliases belong together."""
        return " and ".join(
            f"{pair.of(child, pair.column)} {pair.operator('=')} "
            f"{pair.of(parent, pair.key)}"
            for pair in self.pairs[ref.label]
        ).replace("%", "%%")

    @property
    def references(self) -> tuple[Reference, ...]:
        """The declared references."""
        return self.declared.reference

    def children(self, parent: str) -> list[Reference]:
        """The references to a table."""
        return [ref for ref in self.references if ref.target.table == parent]

    def require(self, name: str) -> Table:
        """A declared table; raises UsageError with the nearest name."""
        if name not in self.tables:
            known = sorted(self.tables)
            raise UsageError(
                f"the project declares no table {printable(name)}"
                f"{did_you_mean(name, known)}",
                hint="declare it in the project file: a [[soft_delete]] or a [[reference]]",
            )
        return self.tables[name]

    def query(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """All rows of a query of ours."""
        query: Any = sql
        with self.connection.cursor(row_factory=dict_row) as cursor:
            set_json_loads(exact, cursor)
            return cursor.execute(query, parameters).fetchall()

    def live(self, name: str, condition: str | None = None) -> str:
        """The live rows of a table, as the source of a query; all, if none is declared."""
        condition = self.declared.live(name) if condition is None else condition
        where = f" where (\n{condition}\n)".replace("%", "%%") if condition else ""
        return f"(select * from {self.tables[name].sql}{where})"

    def state(self, name: str, keys: Sequence[Key], *, lock: bool) -> list[dict[str, Any]]:
        """Of each row that exists: its key, whether it is live, and since when not.

        Raises UsageError if a key is no value of its column.
        """
        table, soft = self.require(name), self.declared.soft(name)
        live, since = "true", "null"
        if soft:
            live = f"coalesce((\n{soft.condition}\n), false)".replace("%", "%%")
            since = f"this.{column(soft.deleted_at)}" if soft.deleted_at else since
        sql = f"""
            select {key_object(table.key, "this")} as key,
                {since}::pg_catalog.text as since,
                (select {live} from (select this.*) as sexton_row) as live
            from {table.sql} this
            where {within(table, "this", "keys")}
            order by {listed(table.key, "this")} {"for update of this" if lock else ""}
        """
        try:
            return self.query(sql, **parameters(table, "keys", keys))
        except errors.DataError as error:
            said = printable(str(error.diag.message_primary))
            raise UsageError(f"{printable(name)}: {said}") from None

    def write_settings(self, name: str) -> Any:
        """The search path on which a table's own triggers find their tables."""
        return settings(self.connection, {"search_path": self.tables[name].path})


def _target(ref: Reference) -> tuple[str, tuple[str, ...]]:
    return ref.target.table, ref.target.columns


def within(table: Table, alias: str, name: str) -> str:
    """The condition that the key of a row is one of those in `parameters(table, name, …)`.

    Arrays tell the planner how many there are.
    """
    arrays = [
        f"%({name} {n})s::{table.columns[column].type}[]"
        for n, column in enumerate(table.key)
    ]
    if len(arrays) == 1:
        [key] = table.key
        return f"{alias}.{column(key)} operator(pg_catalog.=) any ({arrays[0]})"
    given = ", ".join(f"pg_catalog.unnest({array})" for array in arrays)
    names = [f"k{n}" for n in range(len(arrays))]
    same = " and ".join(
        f"{alias}.{column(key)} operator(pg_catalog.=) wanted.{name}"
        for key, name in zip(table.key, names, strict=True)
    )
    return (
        f"exists (select from rows from ({given}) as wanted ({', '.join(names)}) "
        f"where {same})"
    )


def parameters(table: Table, name: str, keys: Sequence[Key]) -> dict[str, list[str]]:
    """The values of keys for `within`, one array of texts for each column."""
    return {
        f"{name} {n}": [_text(key[column]) for key in keys]
        for n, column in enumerate(table.key)
    }


def _text(value: Any) -> str:
    """A value of a JSON document as the text that PostgreSQL reads."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def listed(names: Iterable[str], alias: str) -> str:
    """Columns of an alias as a list."""
    return ", ".join(f"{alias}.{column(name)}" for name in names)


def frozen(key: Mapping[str, Any]) -> str:
    """A key as text, to be found again in a set."""
    return json.dumps(key, sort_keys=True, default=str)


def named(key: Mapping[str, Any]) -> str:
    """A key as people read it: `7`, or `a=1, b=2`."""
    if len(key) == 1:
        return printable(str(next(iter(key.values()))))
    return printable(", ".join(f"{name}={value}" for name, value in key.items()))


def few(keys: Sequence[Key], most: int = 5) -> str:
    """The first keys, and how many more there are."""
    more = f" and {len(keys) - most:,} more" if len(keys) > most else ""
    return ", ".join(named(key) for key in keys[:most]) + more
