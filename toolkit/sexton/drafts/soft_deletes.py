"""Soft deletes that a database seems to have: proposed, never declared."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sexton.database import Connection, rows
from sexton.declarations.column_types import COLUMNS, TIMES, spelling

# Usual names of marks, in small letters and without underscores.
NAMES = frozenset(
    """
    deleted isdeleted deletedat deleteat deletedon deletedtime datedeleted deletiontime
    discardedat trashedat removed isremoved removedat
    """.split()  # noqa: SIM905
)
# The columns of each unique index of `c` that counts deleted rows, as texts. An index to
# which foreign keys refer is an identity of rows, deleted ones as well.
UNIQUES = """
    coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.to_jsonb(array(
            select pg_catalog.pg_get_indexdef(i.indexrelid, k.n + 1, true)
            from pg_catalog.generate_series(0, i.indnkeyatts::pg_catalog.int4 - 1) as k (n)
            order by k.n
        )) order by i.indexrelid)
        from pg_catalog.pg_index i
        where i.indrelid = c.oid and i.indisunique and not i.indisprimary
          and i.indpred is null and i.indisvalid and not exists (
              select from pg_catalog.pg_constraint f
              where f.conindid = i.indexrelid and f.contype = 'f'::pg_catalog."char"
          )
    ), '[]'::pg_catalog.jsonb)
"""
TABLES = f"""
    select
        n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as table,
        {COLUMNS} as columns, {UNIQUES} as uniques
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind = any (array['r', 'p']::pg_catalog."char"[]) and not c.relispartition
      and n.nspname <> all (
          array['sexton', 'pg_catalog', 'information_schema']::pg_catalog.name[]
      )
      and exists (
          select from pg_catalog.pg_attribute a
          where a.attrelid = c.oid and a.attnum > 0::pg_catalog.int2
            and not a.attisdropped
            and pg_catalog.replace(
                pg_catalog.lower(a.attname::pg_catalog.text), '_'::text, ''::text
            ) = any (%s::pg_catalog.text[])
      )
    order by n.nspname, c.relname
"""  # noqa: S608 - names of the catalogs


@dataclass(frozen=True)
class Proposal:
    """A table, as (schema, name), and the lines of its entry below `table`.

    `uniques` are the columns of its unique indexes, each of which counts deleted rows.
    """

    table: tuple[str, str]
    lines: tuple[str, ...]
    uniques: tuple[tuple[str, ...], ...] = ()


def proposals(connection: Connection) -> list[Proposal]:
    """The tables with a column that is named like a mark, sorted by the database."""
    found = rows(connection, TABLES, sorted(NAMES))
    return [
        Proposal(
            (row["schema"], row["table"]),
            _lines(row["columns"]),
            tuple(map(tuple, row["uniques"])),
        )
        for row in found
    ]


def _lines(columns: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    marks = [c for c in columns if re.sub("_", "", c["name"].lower()) in NAMES]
    spelt = {spelling(mark["name"], mark): mark for mark in marks}
    plain = {
        kind: next((text for text in spelt if text.startswith(f"{kind} = ")), None)
        for kind in ("deleted", "deleted_at")
    }
    if any(plain.values()):
        return tuple(filter(None, plain.values()))
    times = [text for text, mark in spelt.items() if mark["base"] in TIMES]
    live, _, assigned = next(iter(times or spelt)).partition(" and set = ")
    return live, f"set = {assigned}"
