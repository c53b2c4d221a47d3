"""Which guards a command is about: those declared, those named, those that are there."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sexton.catalog.relations import column_names
from sexton.database import Connection, rows
from sexton.errors import UsageError
from sexton.guard.binding import assemble
from sexton.guard.definition import Guard
from sexton.guard.predicate import Mark, in_pg_catalog
from sexton.guard.side import keepers
from sexton.guard.spec import MARKER, GuardSpec, Names, table_and_columns
from sexton.guard.table import named, names
from sexton.project import current

# The keys whose last columns are markers.
FOUND = f"""
    select k.conname::text as key, n.nspname::text as schema, c.relname::text as child,
           m.nspname::text as parent_schema, p.relname::text as parent,
           c.oid::int8 as child_oid, p.oid::int8 as parent_oid,
           case when k.condeferred then 'deferred'::text
                when k.condeferrable then 'immediate'::text else 'no'::text
           end as deferrable,
           {column_names("k.conrelid", "k.conkey")} as columns,
           {column_names("k.confrelid", "k.confkey")} as parent_columns
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_class c on c.oid = k.conrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_class p on p.oid = k.confrelid
    join pg_catalog.pg_namespace m on m.oid = p.relnamespace
    join pg_catalog.pg_attribute x on x.attrelid = k.conrelid
      and x.attnum = k.conkey[pg_catalog.cardinality(k.conkey)]
      and x.attname::text ~ '{MARKER}'::text
    join pg_catalog.pg_attribute y on y.attrelid = k.confrelid
      and y.attnum = k.confkey[pg_catalog.cardinality(k.confkey)]
      and y.attname::text ~ '{MARKER}'::text
    where k.contype = 'f' and k.conparentid = 0::pg_catalog.oid and not c.relispartition
      and pg_catalog.cardinality(k.conkey) > 1
    order by n.nspname, c.relname, pg_catalog.right(k.conname::text, 4) = '_new', k.conname
"""
KEPT = """
    select
        (
            select pg_catalog.pg_get_expr(k.conbin, k.conrelid)
            from pg_catalog.pg_constraint k
            where k.conrelid = a.attrelid and k.contype = 'c' and a.attnum = any (k.conkey)
            order by k.conname limit 1
        ) as spelt,
        (
            select pg_catalog.pg_get_triggerdef(t.oid)
            from pg_catalog.pg_trigger t
            join pg_catalog.pg_proc f on f.oid = t.tgfoid
            where t.tgrelid = a.attrelid and {keepers}
            order by t.tgname desc limit 1
        ) as trigger
    from pg_catalog.pg_attribute a
    where a.attrelid = %s::int8::oid and a.attname = %s::text::name
"""
_WHEN = re.compile(r"IS DISTINCT FROM (NULLIF\(.*, false\))\)\) EXECUTE ", re.DOTALL)
_MARK = re.compile(r"IS DISTINCT FROM (NULLIF\(.*, false\))\)\)$", re.DOTALL)


def select(
    connection: Connection,
    references: Sequence[str] = (),
    conditions: Mapping[str, Any] | None = None,
    verb: str = "status",
) -> list[GuardSpec | Guard]:
    """The guards that `guard add|remove|status REFERENCE...` is about.

    Without references those that the project declares, to look at also the others that
    are there. `CHILD.COLUMN` names one of either; `CHILD.COLUMN PARENT.COLUMN`, with
    `conditions`, one that nobody declares. Raises UsageError.
    """
    declared = list(current().guards)
    others = [] if verb == "add" else undeclared(connection, declared)
    known: list[GuardSpec | Guard] = [*declared, *others]
    if not references:
        chosen: list[GuardSpec | Guard] = known if verb == "status" else [*declared]
        if conditions:
            raise UsageError(
                "say which guard: --live and --parent-live are one guard's",
                hint=f"sexton guard {verb} CHILD.COLUMN PARENT.COLUMN --live SQL",
            )
        if not chosen and verb != "status":
            raise UsageError(
                "this project declares no guard",
                hint=f"say which: sexton guard {verb} CHILD.COLUMN PARENT.COLUMN",
            )
        return chosen
    asked = [table_and_columns(reference) for reference in references]
    by_child = [[one for one in known if _is_of(one, *child)] for child in asked]
    if all(by_child) and not conditions:
        return [one for found in by_child for one in found]
    if len(asked) != 2:
        missing = next(
            (r for r, found in zip(references, by_child, strict=True) if not found),
            references[0],
        )
        raise UsageError(
            f"no guard of {missing} is declared" + (" or there" if verb != "add" else ""),
            hint=f"say its parent too: sexton guard {verb} {missing} PARENT.COLUMN",
        )
    (child, columns), (parent, parent_columns) = asked
    spec = GuardSpec(child, columns, parent, parent_columns)
    return [replace(spec, **dict[str, Any](conditions or {}))]


def undeclared(connection: Connection, declared: Sequence[GuardSpec]) -> list[Guard]:
    """The guards that are there and that nobody declares.

    What their tables' owners wrote into a CHECK is compared as text and never parsed.
    """
    with in_pg_catalog(connection):
        found = [_found(connection, row) for row in rows(connection, FOUND)]
    return [
        guard
        for guard in found
        if not any(_is_of(one, guard.spec.child, guard.spec.columns) for one in declared)
    ]


def detached(connection: Connection, guard: Guard) -> list[Guard]:
    """What tables keep of a guard that were partitions of its child when it was set.

    DETACH PARTITION leaves them the key under its name, the marker and its CHECK, and
    takes the trigger away. To be called `in_pg_catalog`.
    """
    if left_behind(guard):
        return []
    query: Any = (
        f"select k.conname::text as key, k.conrelid::int8 as child, "
        f"k.confrelid::int8 as parent {guard.ours}"
    )
    keys = {(row["key"], row["parent"]): row["child"] for row in rows(connection, query)}
    if not keys:
        return []
    others = [
        _found(connection, row)
        for row in rows(connection, FOUND)
        if keys.get((row["key"], row["parent_oid"]), row["child_oid"]) != row["child_oid"]
    ]
    return [one for one in others if left_behind(one)]


def left_behind(guard: Guard) -> bool:
    """Whether a guard that was found is what DETACH PARTITION left: another table's."""
    usual = names(
        replace(guard.spec, names=None), guard.child.table, guard.parent.table, "", ""
    )
    kept = guard.child.mark is not None and guard.child.mark.new != ""
    return guard.names.key != usual.key and not kept


def _found(connection: Connection, row: dict[str, Any]) -> Guard:
    """The guard of a row of FOUND."""
    child = named(f"{row['schema']}.{row['child']}")
    parent = named(f"{row['parent_schema']}.{row['parent']}")
    *columns, live = row["columns"]
    *parent_columns, target = row["parent_columns"]
    spec = GuardSpec(child.called, tuple(columns), parent.called, tuple(parent_columns))
    usual = names(spec, child, parent, "", "")
    called = Names(row["key"], live, target, usual.target_index)
    marks = [
        _kept(connection, row[table], marker)
        for table, marker in (("child_oid", live), ("parent_oid", target))
    ]
    spec = replace(spec, names=called, deferrable=row["deferrable"])
    return assemble(spec, child, parent, *marks)


def _kept(connection: Connection, table: int, marker: str) -> Mark | None:
    """What a CHECK and a trigger say of a marker; None if it is always true."""
    query: Any = KEPT.replace("{keepers}", keepers("a.attname::text"))
    [row] = rows(connection, query, table, marker)
    spelt = _MARK.search(row["spelt"] or "")
    when = _WHEN.search(row["trigger"] or "")
    if spelt is None and when is None:
        return None
    return Mark(spelt[1] if spelt else "", when[1] if when else "", ())


def _is_of(one: GuardSpec | Guard, table: str, columns: tuple[str, ...]) -> bool:
    spec = one.spec if isinstance(one, Guard) else one
    if spec.columns != columns:
        return False
    mine, asked = spec.child.split("."), table.split(".")
    return mine[-1] == asked[-1] and (len(mine) != len(asked) or mine == asked)
