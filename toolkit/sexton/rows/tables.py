"""The declared tables of one connection, and SQL about their rows by key."""

# ruff: noqa: S608 - quoted names and a declaration's own SQL; values are parameters

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from psycopg import errors
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from sexton.audit.reference_facts import Pair, facts
from sexton.catalog.relations import quoted
from sexton.catalog.tables import Table, read_tables
from sexton.check import Reference as SoftReference
from sexton.database import Connection, rows, settings
from sexton.errors import UsageError
from sexton.journal.images import column, key_object
from sexton.project import Project
from sexton.reference import Declarations, Reference
from sexton.rows.result import Key
from sexton.text.exact import canonical, dumps, loads
from sexton.text.nearest import did_you_mean
from sexton.text.printable import printable

# The types of columns, of a domain what it is made of, without a length or a precision: a
# cast to varchar(3) would cut a key short, and so name another row.
TYPES = """
    with recursive base as (
        select a.attrelid, a.attname, a.atttypid as type
        from pg_catalog.pg_attribute a where a.attrelid = any (%s::pg_catalog.oid[])
        union all
        select b.attrelid, b.attname, t.typbasetype
        from base b join pg_catalog.pg_type t on t.oid = b.type
        where t.typtype = 'd'::pg_catalog."char"
    )
    select
        b.attrelid::pg_catalog.int8 as relation, b.attname::pg_catalog.text as name,
        case when n.nspname = 'pg_catalog'::pg_catalog.name
            then pg_catalog.format_type(t.oid, -1)
            else pg_catalog.format(
                '%%I.%%I'::pg_catalog.text, n.nspname::pg_catalog.text,
                t.typname::pg_catalog.text
            )
        end as type
    from base b
    join pg_catalog.pg_type t on t.oid = b.type
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where t.typtype <> 'd'::pg_catalog."char"
"""

DEFERRED = """
    select distinct pg_catalog.format(
        '%%I.%%I'::pg_catalog.text, n.nspname::pg_catalog.text, k.conname::pg_catalog.text
    ) as name
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_namespace n on n.oid = k.connamespace
    where k.condeferred
      and (
          k.conrelid = any (%(oids)s::pg_catalog.oid[])
          or k.confrelid = any (%(oids)s::pg_catalog.oid[])
      )
      and (
          not %(early)s
          or k.contype = any (array['p', 'u', 'x']::pg_catalog."char"[])
      )
    order by 1
"""


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
        """By declared name; keyed by the primary key, else by the declared id.

        The types of keys have no length, so that no key is cut short.
        """
        found = read_tables(self.connection, self.declared.tables())
        oids = [table.relation.oid for table in found.values()]
        types = {
            (row["relation"], row["name"]): row["type"]
            for row in rows(self.connection, TYPES, oids)
        }
        made = {}
        for name, table in found.items():
            key = table.key or self.declared.id(name)
            columns = dict(table.columns)
            for part in key:
                wide = types[table.relation.oid, part]
                columns[part] = replace(columns[part], type=wide)
            made[name] = replace(table, key=key, columns=columns)
        return made

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
            set_json_loads(loads, cursor)
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

    def absent(self, name: str, keys: Sequence[Key]) -> list[Key]:
        """Those of some keys that no row has."""
        table = self.tables[name]
        arrays = ", ".join(
            f"pg_catalog.unnest(%(keys {n})s::{table.columns[column].type}[])"
            for n, column in enumerate(table.key)
        )
        names = [f"k{n}" for n in range(len(table.key))]
        same = " and ".join(
            f"this.{column(key)} operator(pg_catalog.=) wanted.{name}"
            for key, name in zip(table.key, names, strict=True)
        )
        found = self.query(
            f"""
            select wanted.place
            from rows from ({arrays}) with ordinality as wanted ({", ".join(names)}, place)
            where not exists (select from {table.sql} this where {same})
            order by wanted.place
            """,
            **parameters(table, "keys", keys),
        )
        return [keys[row["place"] - 1] for row in found]

    def settle(self, names: Iterable[str], *, early: bool = False) -> None:
        """Let happen what waits for the end of the transaction, for rows of some tables.

        With `early`, unique keys do not wait any more, and nothing else is done. Raises
        psycopg.Error for a constraint that is violated, and what triggers raise.
        """
        oids = [self.tables[name].relation.oid for name in names]
        found = self.query(DEFERRED, oids=oids, early=early)
        constraints = ", ".join(row["name"] for row in found)
        for mode in ("immediate",) if early else ("immediate", "deferred"):
            statement: Any = f"set constraints {constraints} {mode}"
            if constraints:
                self.connection.execute(statement)

    def write_settings(self, names: Iterable[str]) -> Any:
        """The search path on which the tables' own triggers find their tables."""
        schemas = dict.fromkeys(self.tables[name].relation.schema for name in names)
        path = ", ".join(["pg_catalog", *map(quoted, schemas), "pg_temp"])
        return settings(self.connection, {"search_path": path})


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


def parameters(table: Table, name: str, keys: Sequence[Key]) -> dict[str, list[str | None]]:
    """The values of keys for `within`, one array of texts for each column."""
    return {
        f"{name} {n}": [_text(key[column]) for key in keys]
        for n, column in enumerate(table.key)
    }


def _text(value: Any) -> str | None:
    """A value of a JSON document as the text that PostgreSQL reads; None is NULL."""
    if value is None:
        return None
    return value if isinstance(value, str) else dumps(value)


def listed(names: Iterable[str], alias: str) -> str:
    """Columns of an alias as a list."""
    return ", ".join(f"{alias}.{column(name)}" for name in names)


def frozen(key: Mapping[str, Any]) -> str:
    """A key as text, to be found again in a set."""
    return canonical(key)


def named(key: Mapping[str, Any]) -> str:
    """A key as people read it: `7`, or `a=1, b=2`."""
    if len(key) == 1:
        return printable(str(next(iter(key.values()))))
    return printable(", ".join(f"{name}={value}" for name, value in key.items()))


def few(keys: Sequence[Key], most: int = 5) -> str:
    """The first keys, and how many more there are."""
    more = f" and {len(keys) - most:,} more" if len(keys) > most else ""
    return ", ".join(named(key) for key in keys[:most]) + more
