"""Binding: a declared guard meets its tables, and what PostgreSQL cannot do is refused."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sexton.catalog.relations import Relation, resolve, search_path
from sexton.database import Connection, rows
from sexton.errors import Refused, SextonError, UsageError, WrongSchema
from sexton.guard.definition import Guard
from sexton.guard.predicate import (
    Mark,
    in_pg_catalog,
    read,
    require,
    require_immutable,
    simple,
)
from sexton.guard.side import Side
from sexton.guard.spec import MARKER, GuardSpec
from sexton.guard.table import Table, named, names
from sexton.project import current

COLUMNS = """
    select a.attrelid::int8 as oid, a.attname::text as name,
           a.attgenerated <> '' as generated,
           a.attgenerated = 'v' as virtual,
           pg_catalog.format_type(a.atttypid, a.atttypmod) as type
    from pg_catalog.pg_attribute a
    where a.attrelid = any (%s::oid[]) and a.attnum > 0 and not a.attisdropped
    order by a.attnum
"""
SHAPE = """
    select c.oid::int8 as oid, c.relispartition as partition, c.reloftype <> 0 as typed,
           exists (
               select from pg_catalog.pg_inherits i
               join pg_catalog.pg_class k on k.oid = i.inhrelid and not k.relispartition
               where c.oid in (i.inhparent, i.inhrelid)
           ) as inherits
    from pg_catalog.pg_class c where c.oid = any (%s::oid[])
"""
# The markers of a table whose CHECK says a condition, which stands after their name.
MARKERS = """
    select m.attname::text as name
    from pg_catalog.pg_attribute m
    where m.attrelid = %s and m.attnum > 0 and not m.attisdropped
      and m.attname::text ~ %s::text
      and exists (
          select from pg_catalog.pg_constraint c
          where c.conrelid = m.attrelid and c.contype = 'c' and m.attnum = any (c.conkey)
            and pg_catalog.replace(
                pg_catalog.pg_get_expr(c.conbin, c.conrelid), '"'::text, ''::text
            ) = %s::text || m.attname::text || %s::text
      )
    order by m.attname
"""
KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


def bind(
    connection: Connection,
    spec: GuardSpec | Guard,
    relations: Mapping[str, Relation] | None = None,
) -> Guard:
    """A guard on the tables that are there; raises WrongSchema, and Refused.

    `relations` are the tables by their names, where they are known already.
    """
    if isinstance(spec, Guard):
        return spec
    found = _tables(connection, spec, relations)
    with in_pg_catalog(connection):
        return _bound(connection, spec, *found)


def _bound(
    connection: Connection, spec: GuardSpec, child: Relation, parent: Relation
) -> Guard:
    oids = [child.oid, parent.oid]
    shapes = {row["oid"]: row for row in rows(connection, SHAPE, oids)}
    version = connection.info.server_version
    for relation in (child, parent):
        shape = shapes[relation.oid]
        if why := _unfit(relation, shape, version, is_child=relation is child):
            raise Refused(f"{relation.schema}.{relation.name} can have no guard: {why}")
    columns: dict[int, list[dict[str, Any]]] = {oid: [] for oid in oids}
    for row in rows(connection, COLUMNS, oids):
        columns[row["oid"]].append(row)
    marks, tables = [], []
    for relation, needed, live in (
        (child, spec.columns, spec.live),
        (parent, spec.parent_columns, spec.parent_live),
    ):
        types = {row["name"]: row["type"] for row in columns[relation.oid]}
        table = _table(relation, spec.child if relation is child else spec.parent)
        require(table, types, needed)
        mark = read(connection, table, types, live) if live.strip() else None
        computed = {row["name"] for row in columns[relation.oid] if row["generated"]}
        if mark and computed.intersection(mark.columns):
            raise Refused(
                f"{live!r} speaks of a generated column, which is not computed yet when "
                "a row is marked",
                hint="say it by the columns that it is made of",
            )
        marks.append(mark)
        tables.append(table)
    _require_condition(spec)
    guard = assemble(spec, tables[0], tables[1], marks[0], marks[1])
    for relation, side in ((child, guard.child), (parent, guard.parent)):
        for row in columns[relation.oid]:
            if row["virtual"] and row["name"] in side.columns:
                raise Refused(
                    f"{side.table.name}.{row['name']} is a virtual generated column, and "
                    "PostgreSQL has no foreign keys of those",
                    hint="make it STORED",
                )
    _require_comparable(connection, guard, child, parent)
    return _as_made(connection, guard, child, parent)


def _require_condition(spec: GuardSpec) -> None:
    if not spec.live.strip() and not spec.parent_live.strip():
        raise UsageError(
            f"{spec.label}: every row counts on both sides, so a plain foreign key does "
            "what a guard would",
            hint="say which rows count: --live, --parent-live",
        )


def _as_made(
    connection: Connection, guard: Guard, child: Relation, parent: Relation
) -> Guard:
    """The guard with the markers that its tables have for its conditions already.

    Those of its own key first: guards were made with markers of their own once.
    """
    query: Any = f"select x.attname::text as live, y.attname::text as target {guard.ours}"
    keyed = rows(connection, query)
    there: list[list[str]] = []
    for relation, side in ((child, guard.child), (parent, guard.parent)):
        before, after = side.check_spelt.replace('"', "").split(side.marker, 1)
        found = rows(connection, MARKERS, relation.oid, MARKER, before, after)
        there.append([row["name"] for row in found])
    lives, targets = there
    for row in keyed:
        if row["live"] in lives and row["target"] in targets:
            return _with_markers(guard, row["live"], row["target"])
    used_live = [row["live"] for row in keyed if row["live"] in lives]
    used_target = [row["target"] for row in keyed if row["target"] in targets]
    return _with_markers(
        guard,
        _first(used_live, guard.child.marker, lives),
        _first(used_target, guard.parent.marker, targets),
    )


def _first(used: list[str], usual: str, there: list[str]) -> str:
    return [*used, *([usual] if usual in there else there), usual][0]


def _with_markers(guard: Guard, live: str, target: str) -> Guard:
    return replace(
        guard,
        names=replace(guard.names, live=live, target=target),
        child=replace(guard.child, marker=live),
        parent=replace(guard.parent, marker=target),
    )


def immutable(connection: Connection, guard: Guard) -> Guard:
    """The same guard, once the server has said that no row's mark changes by itself."""
    for side in (guard.child, guard.parent):
        if side.mark is not None:
            require_immutable(
                connection, side.table, side.mark, side.marker, side.check_spelt
            )
    return guard


def offline(spec: GuardSpec, connection: Connection | None = None) -> Guard:
    """A guard on tables that may still have to be made.

    Raises WrongSchema where a condition takes a server that has its table to be read.
    """
    _require_condition(spec)
    child, parent = named(spec.child), named(spec.parent)
    if connection is not None:
        there = resolve(connection, (spec.child, spec.parent))
        new = [s for s in search_path(connection) if not s.startswith("pg_")][:1]
        child, parent = (
            _table(there[table.called], table.called)
            if table.called in there
            else replace(table, schema=table.schema or "".join(new) or None)
            for table in (child, parent)
        )
    marks = [simple(live) for live in (spec.live, spec.parent_live)]
    for mark, live in zip(marks, (spec.live, spec.parent_live), strict=True):
        if mark is None and live.strip():
            raise WrongSchema(
                f"{live!r} cannot be read before the tables of the guard are there",
                hint="make them first, then run the same command again",
            )
    return assemble(spec, child, parent, *marks)


def loosely(connection: Connection, given: GuardSpec | Guard) -> Guard:
    """A guard to look at: where its tables or columns lack something, no part matches."""
    try:
        return bind(connection, given)
    except SextonError:
        return unread(connection, given)


def unread(connection: Connection, given: GuardSpec | Guard) -> Guard:
    """A guard to take away: its conditions are not read; raises WrongSchema."""
    if isinstance(given, Guard):
        return given
    raw = [f"NULLIF(({live}), false)" for live in (given.live, given.parent_live)]
    marks = [
        Mark(text, text, ()) if live.strip() else None
        for text, live in zip(raw, (given.live, given.parent_live), strict=True)
    ]
    child, parent = _tables(connection, given)
    return assemble(given, _table(child, given.child), _table(parent, given.parent), *marks)


def _tables(
    connection: Connection,
    spec: GuardSpec,
    relations: Mapping[str, Relation] | None = None,
) -> list[Relation]:
    """The child's and the parent's table; raises WrongSchema."""
    there = relations or resolve(connection, (spec.child, spec.parent))
    for name in (spec.child, spec.parent):
        if name not in there:
            if spec in current().guards and (error := current().unfit(connection)):
                raise error
            raise WrongSchema(
                f"this database has no table {name} on its search_path",
                hint="check the database name, the schema, and the spelling",
            )
    return [there[spec.child], there[spec.parent]]


def _table(relation: Relation, called: str) -> Table:
    return Table(relation.schema, relation.name, called)


def assemble(
    spec: GuardSpec, child: Table, parent: Table, live: Mark | None, lives: Mark | None
) -> Guard:
    """A guard of its tables and marks."""
    said = [mark.text if mark else "true" for mark in (live, lives)]
    called = names(spec, child, parent, *said)
    return Guard(
        spec,
        called,
        Side(child, spec.columns, called.live, live),
        Side(parent, spec.parent_columns, called.target, lives),
    )


def _unfit(
    relation: Relation, shape: dict[str, Any], version: int, *, is_child: bool
) -> str | None:
    """Why a table can have no guard."""
    if relation.kind in KINDS:
        return f"it is {KINDS[relation.kind]}"
    if shape["partition"]:
        return "it is a partition; name the table that it is a part of"
    if relation.kind == "p" and not is_child:
        return "it is partitioned, and no unique index is built beside others' work there"
    if relation.kind == "p" and version < 180000:
        return "it is partitioned, and before PostgreSQL 18 such a key locks out writers"
    if shape["inherits"]:
        return "it inherits, and a key holds for one table alone"
    if shape["typed"]:
        return "it is made of a type, so no column can be added"
    return None


def _require_comparable(
    connection: Connection, guard: Guard, child: Relation, parent: Relation
) -> None:
    found: list[dict[str, Any]] = rows(
        connection,
        """
        select a.mine::text as child, a.yours::text as parent,
               pg_catalog.format_type(x.atttypid, x.atttypmod) as of,
               pg_catalog.format_type(y.atttypid, y.atttypmod) as to
        from rows from (
            pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])
        ) as a (mine, yours)
        join pg_catalog.pg_attribute x on x.attrelid = %s and x.attname = a.mine::name
        join pg_catalog.pg_attribute y on y.attrelid = %s and y.attname = a.yours::name
        where x.atttypid <> y.atttypid
          and not exists (
              select from pg_catalog.pg_amop o
              join pg_catalog.pg_am m on m.oid = o.amopmethod and m.amname = 'btree'
              where o.amopstrategy = 3
                and o.amoplefttype = y.atttypid and o.amoprighttype = x.atttypid
          )
          and not exists (
              select from pg_catalog.pg_cast t
              where t.castsource = x.atttypid and t.casttarget = y.atttypid
                and t.castcontext = 'i'
          )
        """,
        list(guard.spec.columns),
        list(guard.spec.parent_columns),
        child.oid,
        parent.oid,
    )
    for row in found:
        raise Refused(
            f"{child.name}.{row['child']} is {row['of']} and "
            f"{parent.name}.{row['parent']} is {row['to']}: no key compares them"
        )
