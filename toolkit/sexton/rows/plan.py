"""What deleting rows would do: children to any depth, and defaults to elect.

Rows are found level by level, parents first, with one query for each reference and level;
they are written deepest level first, so that no foreign key or guard is violated between.
"""

# ruff: noqa: S608 - quoted names and a declaration's own SQL; values are parameters

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sexton.catalog.cascades import Key as ForeignKey
from sexton.catalog.cascades import referring
from sexton.errors import NotFound, UsageError
from sexton.journal.images import column, key_object
from sexton.reference import Default, Reference
from sexton.reference import table as table_name
from sexton.rows.result import Change, DefaultChange, Key, Refusal
from sexton.rows.tables import Tables, few, frozen, listed, named, parameters, within

Kind = Literal["soft_delete", "delete", "null"]
MOST_NAMED = 1_000  # keys of refused rows in a document


@dataclass(frozen=True)
class Step:
    """Rows of one table and level to which the same happens, and why."""

    table: str
    kind: Kind
    keys: list[Key]
    level: int
    why: str
    ref: Reference | None = None  # by which they were found

    @property
    def emptied(self) -> str:
        """The column that is set to null, if one is."""
        return self.ref.source.columns[-1] if self.ref and self.kind == "null" else ""

    @property
    def order(self) -> tuple[int, int]:
        """Children before parents; within a level the references are emptied first."""
        return -self.level, ("null", "soft_delete", "delete").index(self.kind)


@dataclass
class Plan:
    """The steps of a deletion, in the order in which they are written."""

    table: str
    steps: list[Step] = field(default_factory=list)
    defaults: list[DefaultChange] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def changes(self) -> list[Change]:
        """The steps as the document has them: one entry for each table and action."""
        found: dict[tuple[str, Kind], list[Key]] = {}
        for step in sorted(self.steps, key=lambda step: step.level):
            found.setdefault((step.table, step.kind), []).extend(step.keys)
        return [
            Change(table, kind, len(keys), keys) for (table, kind), keys in found.items()
        ]

    def keys(self, table: str, *kinds: Kind) -> list[Key]:
        """The keys of a table's rows to which something of these kinds happens."""
        steps = [s for s in self.steps if s.table == table and s.kind in kinds]
        return [key for step in steps for key in step.keys]


def plan(tables: Tables, table: str, keys: Sequence[Key], *, lock: bool) -> Plan:
    """What deleting rows of a table does; with `lock` its rows are locked.

    Raises UsageError for a table that is not declared or a row that is deleted already,
    NotFound for one that does not exist.
    """
    tables.require(table)
    made = Plan(table)
    if lock:
        _lock_elections(tables, table)
    roots = _roots(tables, table, keys, lock=lock)
    soft = tables.declared.soft(table)
    kind: Kind = "soft_delete" if soft and soft.marks else "delete"
    if soft and not soft.marks:
        raise UsageError(
            f"the [[soft_delete]] of {table} does not say how rows are marked as deleted",
            hint="add `set` to it",
        )
    _Walk(tables, made, lock).follow(Step(table, kind, roots, 0, "asked for"))
    made.steps.sort(key=lambda step: step.order)
    _refuse_keys(tables, made)
    made.defaults = _elections(tables, made)
    return made


def _roots(tables: Tables, table: str, keys: Sequence[Key], *, lock: bool) -> list[Key]:
    found = tables.state(table, keys, lock=lock)
    if len(found) < len({frozen(key) for key in keys}):
        there = {named(row["key"]) for row in found}
        absent = [key for key in keys if named(key) not in there] or list(keys)
        raise NotFound(f"{table} has no row {few(absent)}")
    for row in found:
        if not row["live"]:
            since = f" at {row['since']}" if row["since"] else ""
            raise UsageError(
                f"{table} {named(row['key'])} was deleted{since}",
                hint=f"to bring it back: sexton restore {table} {named(row['key'])}",
            )
    return [row["key"] for row in found]


def _reachable(tables: Tables, table: str) -> list[str]:
    """The tables whose rows the deletion may change."""
    found = [table]
    for name in found:
        found += [
            ref.source.table
            for ref in tables.children(name)
            if ref.on_delete in ("soft_delete", "delete", "null")
            and ref.source.table not in found
        ]
    return found


def _lock_elections(tables: Tables, table: str) -> None:
    """Let one deletion at a time elect defaults: before any row is locked.

    The application's own elections write the flag, which the lock keeps out as well.
    """
    reachable = set(_reachable(tables, table))
    oids = sorted(
        (tables.tables[name].relation.oid, tables.tables[name].sql)
        for name in {name for name, _ in tables.declared.defaults()} & reachable
    )
    for _, sql in oids:
        query: Any = f"lock table {sql} in share row exclusive mode"
        tables.connection.execute(query, ())


@dataclass
class _Walk:
    tables: Tables
    plan: Plan
    lock: bool
    seen: set[tuple[str, str]] = field(default_factory=set)
    refused: dict[str, tuple[Reference, list[Key]]] = field(default_factory=dict)

    def follow(self, root: Step) -> None:
        """Add a step, and those of its children to any depth."""
        pending = [self._fresh(root)]
        while pending:
            level: list[Step] = []
            for step in pending:
                self.plan.steps.append(step)
                if step.kind != "null":
                    for ref in self.tables.children(step.table):
                        level += self._children(ref, step)
            pending = self._merged(level)
        self._refuse()

    def _children(self, ref: Reference, step: Step) -> list[Step]:
        if ref.on_delete == "keep" and step.kind == "soft_delete":
            return []
        keys = self._live_children(ref, step)
        if not keys:
            return []
        why, level = f"its {step.table} was deleted", step.level + 1
        match ref.on_delete:
            case "soft_delete" | "delete" | "null":
                return [Step(ref.source.table, ref.on_delete, keys, level, why, ref)]
        self.refused.setdefault(ref.label, (ref, []))[1].extend(keys)
        return []

    def _live_children(self, ref: Reference, step: Step) -> list[Key]:
        tables = self.tables
        child, parent = tables.tables[ref.source.table], tables.tables[step.table]
        live, _ = tables.declared.sides(ref)
        rows = tables.query(
            f"""
            select {key_object(child.key, "this")} as key
            from {tables.live(ref.source.table, live)} this
            where exists (
                select from {parent.sql} parent
                where {within(parent, "parent", "keys")}
                  and {tables.joined(ref, "this", "parent")}
            )
            order by {listed(child.key, "this")} {"for update of this" if self.lock else ""}
            """,
            **parameters(parent, "keys", step.keys),
        )
        return [row["key"] for row in rows]

    def _fresh(self, step: Step) -> Step:
        """The step without rows that are deleted anyway."""
        keys = [k for k in step.keys if (step.table, frozen(k)) not in self.seen]
        if step.kind != "null":
            self.seen |= {(step.table, frozen(key)) for key in keys}
        return Step(step.table, step.kind, keys, step.level, step.why, step.ref)

    def _merged(self, found: list[Step]) -> list[Step]:
        """One step for each table and kind, of rows that no earlier one has."""
        kept: dict[tuple[str, Kind, str], Step] = {}
        # A row that is deleted for one reason need not be emptied for another.
        for step in sorted(found, key=lambda step: step.order, reverse=True):
            fresh = self._fresh(step)
            known = kept.setdefault((fresh.table, fresh.kind, fresh.emptied), fresh)
            if known is not fresh:
                known.keys.extend(fresh.keys)
        return [step for step in kept.values() if step.keys]

    def _refuse(self) -> None:
        """List the live children that a reference with `refuse` has, unless they go too."""
        for ref, keys in self.refused.values():
            left = [k for k in keys if (ref.source.table, frozen(k)) not in self.seen]
            if left:
                why = (
                    f"{ref.source.label} refers to {ref.target.table}, and on_delete is "
                    f'"{ref.on_delete}"'
                )
                self.plan.refused.append(Refusal(ref.source.table, left[:MOST_NAMED], why))


def _refuse_keys(tables: Tables, plan: Plan) -> None:
    """Refuse what foreign keys would do to rows that the plan does not have.

    A row that is really deleted takes others with it, or cannot go, whether they are
    declared or not, live or not.
    """
    by_oid = {table.relation.oid: name for name, table in tables.tables.items()}
    for name in dict.fromkeys(s.table for s in plan.steps if s.kind == "delete"):
        for key in referring(tables.connection, tables.tables[name].relation.oid):
            child = by_oid.get(key.child_oid)
            rows = _held(tables, plan, name, key, child)
            if rows:
                why = f"they refer to {name} through the foreign key {key.name}"
                plan.refused.append(Refusal(child or key.child_name, rows, why))


def _held(
    tables: Tables, plan: Plan, name: str, key: ForeignKey, child: str | None
) -> list[Key]:
    """The rows that refer to deleted ones through a foreign key, and stay."""
    parent = tables.tables[name]
    names, other, gone_too = key.columns, "", list[Key]()
    if child:
        names = tables.tables[child].key
        other = f"and not {within(tables.tables[child], 'this', 'gone_too')}"
        gone_too = plan.keys(child, "delete")
        for step in plan.steps:
            if step.table == child and step.emptied in key.columns:
                gone_too += step.keys
    rows = tables.query(
        f"""
        select {key_object(names, "this")} as key
        from {key.child} this
        where exists (
            select from {parent.sql} parent
            where {within(parent, "parent", "keys")} and {key.same("parent", "this")}
        ) {other}
        order by {listed(names, "this")} limit {MOST_NAMED}
        """,
        **parameters(parent, "keys", plan.keys(name, "delete")),
        **(parameters(tables.tables[child], "gone_too", gone_too) if child else {}),
    )
    return [row["key"] for row in rows]


def _elections(tables: Tables, plan: Plan) -> list[DefaultChange]:
    """For each group that loses its default, the row that becomes it."""
    found: list[DefaultChange] = []
    for name, flag in tables.declared.defaults():
        if gone := plan.keys(name, "soft_delete", "delete"):
            found += _elect(tables, name, flag, gone)
    return found


def _elect(
    tables: Tables, name: str, flag: Default, gone: list[Key]
) -> list[DefaultChange]:
    table, among = tables.tables[name], tables.declared.among(flag)
    flagged = f"coalesce(this.{column(flag.flag)}, false)"
    group = key_object(flag.per, "this") if flag.per else "'{}'::pg_catalog.jsonb"
    rows = tables.query(
        f"""
        with rows as materialized (
            select this.*, {key_object(table.key, "this")} as "sexton key",
                {group} as "sexton group", {flagged} as "sexton flag",
                {within(table, "this", "gone")} as "sexton gone"
            from {tables.live(name, among)} this
        )
        select lost."sexton group" as "group", lost."sexton key" as before, (
            select this."sexton key" from rows this
            where this."sexton group" operator(pg_catalog.=) lost."sexton group"
              and not this."sexton gone"
            order by {flag.order("this", table.key).replace("%", "%%")} limit 1
        ) as after
        from rows lost
        where lost."sexton flag" and lost."sexton gone" and not exists (
            select from rows this
            where this."sexton group" operator(pg_catalog.=) lost."sexton group"
              and this."sexton flag" and not this."sexton gone"
        )
        order by lost."sexton group"
        """,
        **parameters(table, "gone", gone),
    )
    return [DefaultChange(table_name(flag.table), **row) for row in rows]
