"""Foreign keys that reach further: what else goes, or changes, when a row is deleted."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg.rows import tuple_row

from sexton.catalog.relations import column_names, quoted
from sexton.database import Connection

DOES = {"c": "deleted", "n": "set to null", "d": "set to their default"}


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key with an action at the deletion of the row that it refers to."""

    oid: int
    name: str
    child: str  # its whole name, quoted, as in a statement with parameters
    child_oid: int
    columns: tuple[str, ...]
    parent: str  # its whole name, quoted
    parent_oid: int
    target: tuple[str, ...]
    action: str  # pg_constraint.confdeltype: c, n or d


# The keys that a deletion from `relations` may follow: from those tables, and from the
# tables whose rows would go.
KEYS: LiteralString = f"""
    with recursive followed as (
        select k.oid, k.conname, k.conrelid, k.confrelid, k.conkey, k.confkey, k.confdeltype
        from pg_catalog.pg_constraint k
        where k.contype = 'f'::pg_catalog."char"
          and k.confdeltype = any (array['c', 'n', 'd']::pg_catalog."char"[])
          and k.conparentid = 0::pg_catalog.oid
          and k.confrelid = any (%(relations)s::pg_catalog.oid[])
        union
        select k.oid, k.conname, k.conrelid, k.confrelid, k.conkey, k.confkey, k.confdeltype
        from followed f
        join pg_catalog.pg_constraint k on k.confrelid = f.conrelid
        where f.confdeltype = 'c'::pg_catalog."char"
          and k.contype = 'f'::pg_catalog."char"
          and k.confdeltype = any (array['c', 'n', 'd']::pg_catalog."char"[])
          and k.conparentid = 0::pg_catalog.oid
    )
    select
        f.oid::pg_catalog.int8 as oid,
        f.conname::pg_catalog.text as name,
        pg_catalog.format(
            '%%I.%%I'::pg_catalog.text, cn.nspname::pg_catalog.text,
            c.relname::pg_catalog.text
        ) as child,
        f.conrelid::pg_catalog.int8 as child_oid,
        {column_names("f.conrelid", "f.conkey")} as columns,
        pg_catalog.format(
            '%%I.%%I'::pg_catalog.text, pn.nspname::pg_catalog.text,
            p.relname::pg_catalog.text
        ) as parent,
        f.confrelid::pg_catalog.int8 as parent_oid,
        {column_names("f.confrelid", "f.confkey")} as target,
        f.confdeltype::pg_catalog.text as action
    from followed f
    join pg_catalog.pg_class c on c.oid = f.conrelid
    join pg_catalog.pg_namespace cn on cn.oid = c.relnamespace
    join pg_catalog.pg_class p on p.oid = f.confrelid
    join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
    order by f.conname, f.oid
"""  # noqa: S608 - names of the catalogs


def key_of(row: Mapping[str, Any]) -> Key:
    """A row of `KEYS` as a key."""
    lists = {name: tuple(row[name]) for name in ("columns", "target")}
    names = {name: row[name].replace("%", "%%") for name in ("child", "parent")}
    return Key(**{**row, **lists, **names})


def count_reached(
    connection: Connection,
    keys: Collection[Key],
    relation: int,
    where: str,
    parameters: Mapping[str, Any],
) -> list[tuple[Key, int]]:
    """How many rows each key would reach, were the rows of a relation deleted.

    `where` says which rows, in SQL over the alias `this`. A key is followed once, so rows
    that two paths reach are counted for the first. Reads only.
    """
    found: list[tuple[Key, int]] = []
    seen: set[int] = set()
    paths = [
        (key, f"select this.* from {key.parent} this where {where}")  # noqa: S608
        for key in keys
        if key.parent_oid == relation
    ]
    for key, parents in paths:
        if key.oid in seen:
            continue
        seen.add(key.oid)
        children = f"""
            select this.* from {key.child} this
            where ({_list("this", key.columns)}) in (
                select {_list("gone", key.target)} from ({parents}) gone
            )
        """  # noqa: S608 - names from the catalogs
        query: Any = f"select pg_catalog.count(*) from ({children}) reached"  # noqa: S608
        with connection.cursor(row_factory=tuple_row) as cursor:
            [count] = cursor.execute(query, parameters).fetchone() or [0]
        if count:
            found.append((key, count))
            if key.action == "c":
                paths += [(k, children) for k in keys if k.parent_oid == key.child_oid]
    return found


def _list(alias: str, names: Iterable[str]) -> str:
    return ", ".join(f"{alias}.{quoted(name)}".replace("%", "%%") for name in names)
