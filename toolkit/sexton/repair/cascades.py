"""Cascades: the foreign keys by which a change of one table reaches rows of others."""

# ruff: noqa: S608 - quoted names; values are parameters

from collections.abc import Collection, Iterable
from typing import Any

from sexton.catalog.relations import column_names, quoted
from sexton.catalog.tables import Table
from sexton.database import Connection, rows, scalar
from sexton.journal.images import column, read
from sexton.repair.plan import Action, Limit
from sexton.text.exact import canonical
from sexton.text.printable import printable

CASCADES = "cascades"  # what `Options.allow` calls it

# The keys by which a change of a table reaches others; its parameter is the table's oid.
CASCADING_KEYS = f"""
    select
        k.conname::pg_catalog.text as name,
        n.nspname::pg_catalog.text as child_schema,
        c.relname::pg_catalog.text as child,
        k.confdeltype = any (array['c', 'n', 'd']::pg_catalog."char"[]) as at_delete,
        k.confupdtype = any (array['c', 'n', 'd']::pg_catalog."char"[]) as at_update,
        {column_names("k.conrelid", "k.conkey")} as columns,
        {column_names("k.confrelid", "k.confkey")} as target
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_class c on c.oid = k.conrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where k.contype = 'f'::pg_catalog."char"
      and k.confrelid = %s::pg_catalog.oid
      and (
          k.confdeltype = any (array['c', 'n', 'd']::pg_catalog."char"[])
          or k.confupdtype = any (array['c', 'n', 'd']::pg_catalog."char"[])
      )
    order by k.conname, k.oid
"""


def cascades(
    connection: Connection,
    table: Table,
    name: str,
    kind: str,
    changed: set[str],
    gone: list[Action],
    allow: Collection[str],
) -> Iterable[Limit]:
    """The limits that a change of a table meets by keys that pass it on. Reads only."""
    for key in rows(connection, CASCADING_KEYS, table.relation.oid):
        through = f"{printable(key['child'])} through the key {printable(key['name'])}"
        if kind == "delete" and key["at_delete"]:
            count = _children(connection, table, key, gone)
            if not count:
                continue
            rows_ = "1 row" if count == 1 else f"{count:,} rows"
            saw = f"deleting from {printable(name)} would reach {rows_} of {through}"
        elif kind == "update" and key["at_update"] and changed & set(key["target"]):
            saw = f"updating {printable(name)} may reach rows of {through}"
        else:
            continue
        yield Limit(CASCADES, saw, f"--allow-{CASCADES}", lifted=CASCADES in allow)


def _children(
    connection: Connection, table: Table, key: dict[str, Any], gone: list[Action]
) -> int:
    """How many rows refer to rows that are to be deleted."""
    values = [
        {**action.key, **{name: pair[0] for name, pair in action.change.items()}}
        for action in gone
    ]
    child = f"{quoted(key['child_schema'])}.{quoted(key['child'])}".replace("%", "%%")
    same = " and ".join(
        f"c.{column(name)} = {read(table, target, 'd.value')}"
        for name, target in zip(key["columns"], key["target"], strict=True)
    )
    query: Any = f"""
        select pg_catalog.count(*) from {child} c
        join pg_catalog.jsonb_array_elements(%s::pg_catalog.jsonb) as d (value) on {same}
    """
    return int(scalar(connection, query, canonical(values)))
