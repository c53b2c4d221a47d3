"""Foreign keys of a database, and how a project file writes their tables and columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sexton.catalog.relations import column_names
from sexton.database import Connection, rows
from sexton.postgres.enforced import ENFORCED

# Tables, by schema and name, with the columns of a unique key, the primary one first.
Ids = Mapping[tuple[str, str], tuple[str, ...]]

KEYS = f"""
    select
        n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as table,
        m.nspname::pg_catalog.text as parent_schema, p.relname::pg_catalog.text as parent,
        k.conname::pg_catalog.text as name, k.convalidated as valid,
        {ENFORCED} as enforced,
        {column_names("k.conrelid", "k.conkey")} as columns,
        {column_names("k.confrelid", "k.confkey")} as keys
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_class c on c.oid = k.conrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_class p on p.oid = k.confrelid
    join pg_catalog.pg_namespace m on m.oid = p.relnamespace
    where k.contype = 'f'::pg_catalog."char" and k.conparentid = 0::pg_catalog.oid
      and n.nspname <> all (
          array['sexton', 'pg_catalog', 'information_schema']::pg_catalog.name[]
      )
      and not pg_catalog.starts_with(
          k.conname::pg_catalog.text, 'sexton_guard'::pg_catalog.text
      )
      -- PERIOD compares ranges.
      and coalesce(pg_catalog.jsonb_extract_path_text(
          pg_catalog.to_jsonb(k), 'conperiod'::pg_catalog.text
      )::pg_catalog.bool, false) = false
    order by n.nspname, c.relname, k.conkey, m.nspname, p.relname, k.confkey, k.conname
"""  # noqa: S608 - names of the catalogs
TABLES = """
    select
        n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as table,
        array(
            select a.attname::pg_catalog.text
            from (
                select i.indkey, i.indnkeyatts
                from pg_catalog.pg_index i
                where i.indrelid = c.oid and i.indisunique and i.indisvalid
                  and i.indpred is null and i.indexprs is null
                -- A row with NULL in its key cannot be found again by it.
                order by i.indisprimary desc, exists (
                    select from pg_catalog.pg_attribute a
                    where a.attrelid = c.oid and not a.attnotnull
                      and a.attnum = any (i.indkey::pg_catalog.int2[])
                ), i.indexrelid limit 1
            ) i
            cross join lateral pg_catalog.generate_series(
                0, i.indnkeyatts::pg_catalog.int4 - 1
            ) as u (ordinal)
            join pg_catalog.pg_attribute a
              on a.attrelid = c.oid
             and a.attnum = (i.indkey::pg_catalog.int2[])[u.ordinal]
            order by u.ordinal
        ) as id
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind = any (array['r', 'p', 'v', 'm', 'f']::pg_catalog."char"[])
"""


@dataclass(frozen=True)
class Key:
    """A foreign key of the catalogs or of the models; tables are (schema, name)."""

    child: tuple[str, str]
    columns: tuple[str, ...]
    parent: tuple[str, str]
    keys: tuple[str, ...]
    state: str = ""
    enforced: bool = True

    @property
    def pairs(self) -> tuple[object, ...]:
        """What two spellings of one key have in common."""
        named = frozenset(zip(self.columns, self.keys, strict=True))
        return self.child, self.parent, named


def keys(connection: Connection) -> list[Key]:
    """The foreign keys of all schemas, sorted by the database."""
    return [_key(row) for row in rows(connection, KEYS)]


def tables(connection: Connection) -> Ids:
    """All tables with their primary keys."""
    return {
        (row["schema"], row["table"]): tuple(row["id"]) for row in rows(connection, TABLES)
    }


def _key(row: Mapping[str, Any]) -> Key:
    state = ""
    if not row["enforced"]:
        state = f"{row['name']} is NOT ENFORCED: the database lets anything pass"
    elif not row["valid"]:
        state = (
            f"{row['name']} is NOT VALID: older rows were never looked at; once it is, "
            'write key = "foreign"'
        )
    return Key(
        (row["schema"], row["table"]),
        tuple(row["columns"]),
        (row["parent_schema"], row["parent"]),
        tuple(row["keys"]),
        state,
        row["enforced"] and row["valid"],
    )


def written(
    table: tuple[str, str],
    ids: Ids,
    path: Sequence[str],
) -> list[str]:
    """The table's name alone where the search path leads to it, else with its schema."""
    first = next((schema for schema in path if (schema, table[1]) in ids), None)
    return [table[1]] if first == table[0] else list(table)


def spell_table(table: Sequence[str]) -> str:
    """`[schema.]name`, quoted as the project file needs it."""
    return ".".join(map(_spelt, table))


def spell_columns(table: Sequence[str], columns: Sequence[str]) -> str:
    """`table.column` or `table(a, b)`, quoted as the project file needs it."""
    spelt = spell_table(table)
    names = [_spelt(column) for column in columns]
    return f"{spelt}.{names[0]}" if len(names) == 1 else f"{spelt}({', '.join(names)})"


def _spelt(name: str) -> str:
    """A name as the project file has it, in quotes where it would be read otherwise."""
    if re.fullmatch(r'[^".(),\s](?:[^".(),]*[^".(),\s])?', name):
        return name
    return '"' + name.replace('"', '""') + '"'
