"""Keys: whether the columns that name a row name one row alone."""

# ruff: noqa: S608 - quoted names; values are parameters

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from sexton.catalog.relations import has_heirs
from sexton.catalog.tables import Table
from sexton.database import Connection, rows
from sexton.journal.images import keyed
from sexton.text.exact import canonical, identity


def several_rows(
    connection: Connection, table: Table, keys: Sequence[Mapping[str, Any]]
) -> dict[Hashable, int]:
    """Of keys, those that more than one row has, and how many do. Reads only."""
    if not keys or not may_share_keys(connection, table):
        return {}
    names = list(keys[0])
    typed, same = keyed(table, names, "e.value", by="d")
    query: Any = f"""
        select d.place, pg_catalog.count(*) as rows
        from (
            select e.place, {typed}
            from pg_catalog.jsonb_array_elements(%s::pg_catalog.jsonb)
                with ordinality as e (value, place)
            offset 0
        ) d
        join {table.sql} t on {same}
        group by d.place having pg_catalog.count(*) > 1
    """
    found = rows(connection, query, canonical(list(keys)))
    return {identity(keys[row["place"] - 1]): row["rows"] for row in found}


def may_share_keys(connection: Connection, table: Table) -> bool:
    """Whether several rows may have one key: no primary key, or tables that inherit.

    Rows of those are among its rows, and share no index with them.
    """
    return not table.key or has_heirs(connection, table.relation)
