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
TABLES = f"""
    select
        n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as table,
        {COLUMNS} as columns
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
    """A table, as (schema, name), and the lines of its entry below `table`."""

    table: tuple[str, str]
    lines: tuple[str, ...]


def proposals(connection: Connection) -> list[Proposal]:
    """The tables with a column that is named like a mark, sorted by the database."""
    found = rows(connection, TABLES, sorted(NAMES))
    return [
        Proposal((row["schema"], row["table"]), _lines(row["columns"])) for row in found
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
