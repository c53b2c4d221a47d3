"""Tables as statements need them: resolved once, with their columns and primary key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sexton.catalog.relations import Relation, quoted, resolve
from sexton.database import Connection, rows


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type in SQL's spelling, and what may be written into it."""

    name: str
    type: str
    not_null: bool
    generated: bool  # computed by the server: never written
    default: bool  # it has a value of its own where none is given


@dataclass(frozen=True, slots=True)
class Table:
    """A relation with its columns, in order, and the columns of its primary key."""

    relation: Relation
    columns: Mapping[str, Column]
    key: tuple[str, ...]

    @property
    def sql(self) -> str:
        """The whole name, quoted, as it stands in a statement with parameters."""
        return self.relation.sql.replace("%", "%%")

    @property
    def path(self) -> str:
        """The search path on which the table's own triggers find their tables."""
        return f"pg_catalog, {quoted(self.relation.schema)}, pg_temp"


def read_tables(connection: Connection, names: Iterable[str]) -> dict[str, Table]:
    """The tables that names mean, by the caller's search path; absent ones left out."""
    return describe(connection, resolve(connection, names))


def describe(connection: Connection, relations: Mapping[str, Relation]) -> dict[str, Table]:
    """Each relation with its columns and key. One query, whatever the search path."""
    oids = sorted(relation.oid for relation in relations.values())
    return assemble(relations, rows(connection, COLUMNS, oids))


def assemble(
    relations: Mapping[str, Relation], found: Iterable[dict[str, Any]]
) -> dict[str, Table]:
    """The relations as tables, with the rows that `COLUMNS` returns for their oids."""
    columns: dict[int, dict[str, Column]] = {}
    keys: dict[int, dict[int, str]] = {}
    for row in found:
        oid, ordinal = row.pop("relation"), row.pop("ordinal")
        column = Column(**row)
        columns.setdefault(oid, {})[column.name] = column
        if ordinal is not None:
            keys.setdefault(oid, {})[ordinal] = column.name
    return {
        name: Table(
            relation,
            columns.get(relation.oid, {}),
            tuple(column for _, column in sorted(keys.get(relation.oid, {}).items())),
        )
        for name, relation in relations.items()
    }


# The type is spelt with its schema, unless it is the server's own.
COLUMNS = """
    select
        a.attrelid::pg_catalog.int8 as relation,
        a.attname::pg_catalog.text as name,
        case
            when coalesce(e.typnamespace, t.typnamespace)
                = 'pg_catalog'::pg_catalog.regnamespace::pg_catalog.oid
                then pg_catalog.format_type(a.atttypid, a.atttypmod)
            else pg_catalog.concat(
                pg_catalog.quote_ident(n.nspname::pg_catalog.text),
                '.'::pg_catalog.text,
                pg_catalog.quote_ident(coalesce(e.typname, t.typname)::pg_catalog.text),
                case when e.oid is not null then '[]'::pg_catalog.text end
            )
        end as type,
        a.attnotnull as not_null,
        a.attgenerated <> ''::pg_catalog."char" as generated,
        a.atthasdef or a.attidentity <> ''::pg_catalog."char" as "default",
        pg_catalog.array_position(i.indkey::pg_catalog.int2[], a.attnum) as ordinal
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
    left join pg_catalog.pg_index i on i.indrelid = a.attrelid and i.indisprimary
    where a.attrelid = any (%s::pg_catalog.oid[])
      and a.attnum > 0::pg_catalog.int2
      and not a.attisdropped
    order by a.attrelid, a.attnum
"""
