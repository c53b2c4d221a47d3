"""Whether declared columns are of types, and as nullable, as the declarations need.

A soft-delete mark of another type, or one that no live row could have, would make every
row count as deleted: checks of references would pass over dangling rows.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sexton.catalog.identifiers import identifier
from sexton.database import Connection, rows
from sexton.declarations.place import located
from sexton.errors import UsageError
from sexton.reference import Declarations, SoftDelete, table

# pg_type.dat: the OIDs of built-in types never change.
BOOLEAN, SMALLINT = 16, 21
TIMES = {1082: "date", 1114: "timestamp", 1184: "timestamptz"}
NUMBERS = {20, 21, 23, 700, 701, 1700}
# Pairs of these are joined by an operator of PostgreSQL's own.
INTEGERS, TEXTS, UUID = {20, 21, 23}, {25, 1043}, {2950}

# By table and name: {type, base (under all domains), required, default, default_true}.
Types = Mapping[str, Mapping[str, Mapping[str, Any]]]

# The columns of `c`, in order, as an array of jsonb: for a query of pg_class.
COLUMNS = """
    array(
        select pg_catalog.jsonb_build_object(
            'name', a.attname,
            'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
            'base', of.base::pg_catalog.int8,
            'required', a.attnotnull or of.required or exists (
                select from pg_catalog.pg_constraint k
                where k.conrelid = c.oid
                  and k.conbin::pg_catalog.text ~ (
                      '^[{]NULLTEST :arg [{]VAR [^{}]*:varattno '::pg_catalog.text
                      || a.attnum::pg_catalog.text
                      || ' [^{}]*[}] :nulltesttype 1 '::pg_catalog.text
                  )
            ),
            'default', coalesce(own.value, of.default_value) is not null
                and coalesce(own.value, of.default_value)
                    !~ '^[{]CONST .*:constisnull true '::pg_catalog.text,
            'default_true', coalesce(
                coalesce(own.value, of.default_value)
                    ~ '^[{]CONST :consttype 16 .*:constvalue 1 [[] [0 ]*1 '
                      ::pg_catalog.text,
                false
            )
        )
        from pg_catalog.pg_attribute a
        -- The type under all domains, and what they add to it.
        cross join lateral (
            with recursive type as (
                select a.atttypid as oid, 0 as depth
                union all
                select d.typbasetype, type.depth + 1
                from type join pg_catalog.pg_type d on d.oid = type.oid
                where d.typtype = 'd'::pg_catalog."char"
            )
            select
                (pg_catalog.array_agg(d.oid order by type.depth desc))[1] as base,
                pg_catalog.bool_or(d.typnotnull or exists (
                    select from pg_catalog.pg_constraint k
                    where k.contypid = d.oid
                      and k.conbin::pg_catalog.text ~
                          '^[{]NULLTEST :arg [{]COERCETO[^{}]*[}] :nulltesttype 1 '
                          ::pg_catalog.text
                )) as required,
                (pg_catalog.array_agg(
                    d.typdefaultbin::pg_catalog.text order by type.depth
                ))[1] as default_value
            from type join pg_catalog.pg_type d on d.oid = type.oid
        ) of
        -- As the catalogs hold it: pg_get_expr waits for whoever has locked the table.
        left join lateral (
            select d.adbin::pg_catalog.text as value
            from pg_catalog.pg_attrdef d
            where d.adrelid = a.attrelid and d.adnum = a.attnum
              and a.attgenerated = ''::pg_catalog."char"
        ) own on true
        where a.attrelid = c.oid and a.attnum > 0::pg_catalog.int2
          and not a.attisdropped
        order by a.attnum
    )
""".strip()
JOINABLE = """
    with pairs as (
        select p.child::pg_catalog.oid as child, p.parent::pg_catalog.oid as parent
        from rows from (
            pg_catalog.unnest(%s::pg_catalog.int8[]),
            pg_catalog.unnest(%s::pg_catalog.int8[])
        ) as p (child, parent)
    ), types as (
        select p.child as type from pairs p union select p.parent from pairs p
    ), reach as (  -- what a value of each type is implicitly cast to
        select t.type, t.type as becomes from types t
        union
        select t.type, c.casttarget from types t
        join pg_catalog.pg_cast c on c.castsource = t.type
        where c.castcontext = 'i'::pg_catalog."char"
    )
    select p.child::pg_catalog.int8 as child, p.parent::pg_catalog.int8 as parent
    from pairs p
    where exists (
        select from reach a, reach b, pg_catalog.pg_operator o
        where a.type = p.child and b.type = p.parent
          and o.oprname = '='::pg_catalog.name
          and o.oprleft = a.becomes and o.oprright = b.becomes
    ) or p.child = p.parent and exists (
        select from pg_catalog.pg_type t
        where t.oid = p.child and (
            t.typtype = any (array['e', 'r', 'm', 'c']::pg_catalog."char"[])
            or t.typcategory = 'A'::pg_catalog."char"
        )
    )
"""


def require(
    connection: Connection, declared: Declarations, file: Path, types: Types
) -> None:
    """Require suitable columns; raises UsageError, with what to write instead.

    Columns that do not exist yet are skipped.
    """
    for n, soft in enumerate(declared.soft_delete):
        path = declared.path("soft_delete", n)
        for name, why in _unsuitable_marks(soft, types[table(soft.table)]):
            column = getattr(soft, name)
            raise UsageError(
                located(file, f"{path}.{name}: {table(soft.table)}.{column} {why}"),
                hint=f"write: {spelling(column, types[table(soft.table)][column])}",
            )
    for n, (name, flag) in enumerate(declared.defaults()):
        column = types[name].get(flag.flag)
        if column and column["base"] != BOOLEAN:
            said = f"{name}.{flag.flag} is {column['type']}, and a flag is boolean"
            raise UsageError(
                located(file, f"{declared.path('default', n)}.flag: {said}"),
                hint="change the type of the column, or write a check of your own: "
                "docs/audit.md has an example",
            )
    _require_joins(connection, declared, file, types)


def _unsuitable_marks(
    soft: SoftDelete, types: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Each unsuitable mark: `deleted` or `deleted_at`, and what is wrong with it."""
    flag, at = types.get(soft.deleted), types.get(soft.deleted_at)
    if flag and flag["base"] != BOOLEAN:
        yield "deleted", f"is {flag['type']}, not boolean"
    elif flag and flag["default_true"]:
        yield "deleted", "is true by default, so new rows would be deleted from the start"
    if at and at["base"] not in TIMES:
        yield "deleted_at", f"is {at['type']}, not timestamptz, timestamp or date"
    elif at and soft.live is None and at["required"]:
        yield "deleted_at", "is NOT NULL, so by `is null` no row could be live"
    elif at and soft.live is None and at["default"] and not soft.deleted:
        yield "deleted_at", "has a default, so new rows would be deleted from the start"


def spelling(column: str, type: Mapping[str, Any]) -> str:
    """How a project file declares such a column as the mark of a soft delete."""
    base = type["base"]
    if base == BOOLEAN and type["default_true"]:
        return _convention(column, identifier(column), "false")
    if base == BOOLEAN:
        return f"deleted = {_toml(column)}"
    if base in TIMES and not type["required"] and not type["default"]:
        return f"deleted_at = {_toml(column)}"
    alive, value = "'active'", "'deleted'"
    if base in TIMES:
        alive, value = "'infinity'", "now()"
    elif base in NUMBERS:
        alive, value = "0", "1" if base == SMALLINT else "extract(epoch from now())"
    return _convention(column, f"{identifier(column)} = {alive}", value)


def _convention(column: str, live: str, value: str) -> str:
    name = column if re.fullmatch(r"[\w-]+", column, re.ASCII) else _toml(column)
    return f"live = {_toml(live)} and set = {{ {name} = {_toml(value)} }}"


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _require_joins(
    connection: Connection, declared: Declarations, file: Path, types: Types
) -> None:
    """Require an operator `=` between each referencing column and its key."""
    wanted: dict[tuple[int, int], str] = {}
    for n, ref in enumerate(declared.reference):
        source, target = ref.source, ref.target
        for mine, theirs in zip(source.columns, target.columns, strict=True):
            child = types[source.table].get(mine)
            parent = types[target.table].get(theirs)
            if child is None or parent is None:
                continue
            pair = (child["base"], parent["base"])
            if any(set(pair) <= known for known in (INTEGERS, TEXTS, UUID)):
                continue
            wanted.setdefault(
                pair,
                f"{declared.path('reference', n)}.child: {source.table}.{mine} is "
                f"{child['type']} and {target.table}.{theirs} is {parent['type']}: "
                "no operator = compares them",
            )
    if not wanted:
        return
    children, parents = (list(side) for side in zip(*wanted, strict=True))
    joined = {
        (row["child"], row["parent"])
        for row in rows(connection, JOINABLE, children, parents)
    }
    for pair, said in wanted.items():
        if pair not in joined:
            raise UsageError(
                located(file, said),
                hint="give both columns one type, or write a check of your own: "
                "docs/audit.md has an example",
            )
