"""Proposals: what a check's repair would change, asked in one query for each repair.

The query is the check's own finding query, joined with the rows that it speaks of.
"""

# ruff: noqa: S608 - quoted names and a check's own SQL; values are parameters

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sexton.catalog.tables import Table
from sexton.check import Check, Delete, Insert, Rewrite, Update
from sexton.cure import Repair
from sexton.journal.images import column, image, key_object, pick, text
from sexton.project import current
from sexton.repair.plan import Kind

NOW = "now()"


@dataclass(frozen=True)
class Target:
    """What a repair may touch: a table, how, and which of its columns; none means all."""

    table: str
    kind: Kind
    columns: frozenset[str]

    def allows(self, table: str, kind: str, columns: set[str]) -> bool:
        """Whether a change is one that the repair can propose."""
        same = (table, kind) == (self.table, self.kind)
        return same and (not self.columns or columns <= self.columns)


def targets(check: Check) -> Iterator[Target]:
    """What the repairs of a check may touch."""
    touched = {current().updated_at}
    for repair in check.repairs:
        match repair:
            case Update():
                columns = frozenset(touched | set(repair.set))
                yield Target(repair.table or check.table, "update", columns)
            case Rewrite():
                yield Target(check.table, "update", frozenset(touched | {*repair.columns}))
            case Delete():
                yield Target(repair.table or check.table, "delete", frozenset())
            case Insert():
                yield Target(repair.table, "insert", frozenset(repair.values))


def table_of(check: Check, repair: Repair) -> str:
    """The name of the table that a repair changes."""
    return (None if isinstance(repair, Rewrite) else repair.table) or check.table


def kind_of(repair: Update | Delete | Insert) -> Kind:
    """What a repair does to a row."""
    match repair:
        case Update():
            return "update"
        case Delete():
            return "delete"
    return "insert"


def columns_of(repair: Repair) -> set[str]:
    """The columns that a repair writes, beside that of the last update."""
    match repair:
        case Update():
            return set(repair.set)
        case Insert():
            return set(repair.values)
        case Rewrite():
            return set(repair.columns)
    return set()


def query(check: Check, repair: Update | Delete | Insert, table: Table) -> str:
    """The query for what a repair would change: objects `proposed`, in order.

    Each has key, before, after and words. A `%` in it is doubled, as for a statement that
    has parameters.
    """
    return _query(f"({escaped(check.find)})", check, repair, table)


def rewrite(
    check: Check, repair: Rewrite, table: Table, found: list[dict[str, Any]]
) -> tuple[str, list[dict[str, Any]]]:
    """The same for what `repair.row` makes of found rows, and its parameter `rewritten`."""
    made = []
    for row in found:
        after = repair.row(row)
        if after is not None:
            new = {f"new {name}": value for name, value in after.items()}
            made.append({**{name: row[name] for name in check.key}, **new})
    types = {name: table.columns[name].type for name in check.key}
    types |= {f"new {name}": table.columns[name].type for name in repair.columns}
    listed = [f"{column(name)} {type}" for name, type in types.items()]
    listed.append('"new why" pg_catalog.text')
    source = (
        "(select * from pg_catalog.jsonb_to_recordset(%(rewritten)s::pg_catalog.jsonb) "
        f"as made ({', '.join(listed)}))"
    )
    sets = {name: f'found."new {name}"' for name in repair.columns}
    return _query(source, check, Update(set=sets, why="{new why}"), table), made


def escaped(sql: str) -> str:
    """A check's own SQL for a statement that has parameters."""
    return sql.replace("%", "%%")


def _query(
    source: str, check: Check, repair: Update | Delete | Insert, table: Table
) -> str:
    joins = escaped(repair.joins)
    conditions = [f"({escaped(repair.where)})"] if repair.where else []
    name = column(table_of(check, repair))
    before = after = "null::pg_catalog.jsonb"
    if isinstance(repair, Insert):
        values = {n: escaped(sql) for n, sql in repair.values.items()}
        pairs = ", ".join(f"{text(n)}, {values[n]}" for n in repair.key)
        key = f"pg_catalog.jsonb_build_object({pairs})"
        order = [values[n] for n in repair.key]
        after = _object({n: _value(table, n, sql) for n, sql in values.items()})
        same = " and ".join(f"this.{column(n)} = {values[n]}" for n in repair.key)
        conditions.append(f"not exists (select from {name} this where {same})")
    else:
        on = repair.on if repair.on is not None else {k: f"found.{k}" for k in check.key}
        same = " and ".join(f"this.{column(n)} = {escaped(sql)}" for n, sql in on.items())
        joins = f"join {name} this on {same or 'true'}\n{joins}"
        names = table.key or tuple(check.key)
        key, order = key_object(names, "this"), [f"this.{column(n)}" for n in names]
        if isinstance(repair, Delete):
            before = image(table, "this")
        else:
            sets = {n: escaped(sql) for n, sql in repair.set.items()}
            if (touched := current().updated_at) in table.columns:
                sets.setdefault(touched, NOW)
            before = pick(table, {n: f"this.{column(n)}" for n in sets})
            after = _object({n: _value(table, n, sql) for n, sql in sets.items()})
    words = ", ".join(f"{text(n)}, ({escaped(sql)})" for n, sql in repair.select.items())
    where = f"where {' and '.join(conditions)}" if conditions else ""
    listed = ", ".join([*filter(None, [escaped(repair.order)]), *order])
    return f"""
        select pg_catalog.jsonb_build_object(
            'key', {key}, 'before', {before}, 'after', {after}, 'words',
            pg_catalog.to_jsonb(found)
                operator(pg_catalog.||) pg_catalog.jsonb_build_object({words})
        ) as proposed
        from {source} as found
        {joins}
        {where}
        order by {listed}
    """


def _value(table: Table, name: str, sql: str) -> str:
    if sql == NOW:
        return f"pg_catalog.to_jsonb({text('now')})"
    type = table.columns[name].type
    cast = f"({sql})::{type}{'::pg_catalog.text' if type == 'json' else ''}"
    return f"pg_catalog.to_jsonb({cast})"


def _object(values: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{text(name)}, {value}" for name, value in values.items())
    return f"pg_catalog.jsonb_build_object({pairs})"
