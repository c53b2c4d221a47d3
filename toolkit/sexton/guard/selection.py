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
from sexton.guard.spec import GuardSpec, table_and_columns
from sexton.guard.table import named, names
from sexton.project import current

# The keys whose name and last column are ours, with what keeps their markers.
FOUND = f"""
    select k.conname::text as key, n.nspname::text as schema, c.relname::text as child,
           m.nspname::text as parent_schema, p.relname::text as parent,
           c.oid::int8 as child_oid, p.oid::int8 as parent_oid,
           {column_names("k.conrelid", "k.conkey")} as columns,
           {column_names("k.confrelid", "k.confkey")} as parent_columns
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_class c on c.oid = k.conrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_class p on p.oid = k.confrelid
    join pg_catalog.pg_namespace m on m.oid = p.relnamespace
    where k.contype = 'f' and pg_catalog.starts_with(k.conname::text, 'sexton_guard_'::text)
      and not c.relispartition
    order by n.nspname, c.relname, k.conname
"""
KEPT = """
    select
        (
            select pg_catalog.pg_get_expr(k.conbin, k.conrelid)
            from pg_catalog.pg_constraint k
            where k.conrelid = %s::int8::oid and k.conname = %s::text::name
              and k.contype = 'c'
        ) as spelt,
        (
            select pg_catalog.pg_get_triggerdef(t.oid) from pg_catalog.pg_trigger t
            where t.tgrelid = %s::int8::oid and t.tgname = %s::text::name
        ) as trigger,
        (
            select pg_catalog.array_agg(a.attname::text order by u.ordinal)
            from pg_catalog.pg_trigger t
            cross join lateral pg_catalog.unnest(
                pg_catalog.string_to_array(t.tgattr::text, ' '::text)::int2[]
            ) with ordinality as u (number, ordinal)
            join pg_catalog.pg_attribute a
              on a.attrelid = t.tgrelid and a.attnum = u.number
            where t.tgrelid = %s::int8::oid and t.tgname = %s::text::name
        ) as columns
"""
_WHEN = re.compile(r"IS DISTINCT FROM (NULLIF\(.*, false\))\)\) EXECUTE ", re.DOTALL)
_MARK = re.compile(r"IS DISTINCT FROM (NULLIF\(.*, false\))\)\)$", re.DOTALL)


def select(
    connection: Connection,
    references: Sequence[str] = (),
    conditions: Mapping[str, str] | None = None,
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
    found = []
    with in_pg_catalog(connection):
        for row in rows(connection, FOUND):
            child = named(f"{row['schema']}.{row['child']}")
            parent = named(f"{row['parent_schema']}.{row['parent']}")
            columns, parent_columns = tuple(row["columns"]), tuple(row["parent_columns"])
            spec = GuardSpec(
                *(child.called, columns[:-1]),
                *(parent.called, parent_columns[:-1]),
            )
            called = names(spec, child, parent)
            if called.key != row["key"] or any(
                _is_of(one, spec.child, spec.columns) and not one.names for one in declared
            ):
                continue
            live, kept = (
                _kept(connection, row[oid], check, trigger)
                for oid, check, trigger in (
                    ("child_oid", called.live_check, called.key),
                    ("parent_oid", called.target_check, called.target_trigger),
                )
            )
            found.append(assemble(spec, child, parent, live, kept))
    return found


def _kept(connection: Connection, table: int, check: str, trigger: str) -> Mark | None:
    """What a CHECK and a trigger say of a marker; None where it is always true."""
    names = (table, check, table, trigger, table, trigger)
    [row] = rows(connection, KEPT, *names)
    spelt = _MARK.search(row["spelt"] or "")
    when = _WHEN.search(row["trigger"] or "")
    if spelt is None and when is None:
        return None
    return Mark(
        spelt[1] if spelt else "", when[1] if when else "", tuple(row["columns"] or ())
    )


def _is_of(one: GuardSpec | Guard, table: str, columns: tuple[str, ...]) -> bool:
    spec = one.spec if isinstance(one, Guard) else one
    if spec.columns != columns:
        return False
    mine, asked = spec.child.split("."), table.split(".")
    return mine[-1] == asked[-1] and (len(mine) != len(asked) or mine == asked)
