"""What deleting rows would do: children to any depth, and defaults to elect.

Rows are found level by level, parents first, with one query for each reference and level.
They are written table by table, children first, and those of tables that refer to each
other in one statement, so that no foreign key or guard is violated between.
"""

# ruff: noqa: S608 - quoted names and a declaration's own SQL; values are parameters

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sexton.catalog.cascades import DOES, referring
from sexton.catalog.cascades import Key as ForeignKey
from sexton.catalog.relations import require_writable
from sexton.errors import NotFound, UsageError
from sexton.journal.images import column, key_object, text
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
    orphaned: bool = False  # whether their parents are deleted for good
    kept: tuple[str, ...] = ()  # flags that they keep

    @property
    def emptied(self) -> str:
        """The column that is set to null, if one is."""
        return self.ref.source.columns[-1] if self.ref and self.kind == "null" else ""

    @property
    def order(self) -> tuple[bool, int, int]:
        """Among tables that refer to each other: what is emptied first, then children."""
        kinds = ("null", "soft_delete", "delete")
        return self.kind != "null", -self.level, kinds.index(self.kind)


@dataclass(frozen=True)
class Election:
    """The row that becomes the default of a group, if there is one."""

    name: str
    flag: Default
    change: DefaultChange


@dataclass
class Plan:
    """The steps of a deletion, by the tables that are written together, in order."""

    table: str
    steps: list[Step] = field(default_factory=list)
    groups: list[list[Step]] = field(default_factory=list)
    elections: list[Election] = field(default_factory=list)
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
        lock_elections(tables, _reachable(tables, table))
    roots = _roots(tables, table, keys, lock=lock)
    soft = tables.declared.soft(table)
    kind: Kind = "soft_delete" if soft and soft.marks else "delete"
    if soft and not soft.marks:
        raise UsageError(
            f"the [[soft_delete]] of {table} does not say how rows are marked as deleted",
            hint="add `set` to it",
        )
    _Walk(tables, made, lock).follow(Step(table, kind, roots, 0, "asked for"))
    require_writable(tables.tables[step.table].relation for step in made.steps)
    made.groups = _groups(tables, made)
    _refuse_keys(tables, made)
    made.elections = _elections(tables, made)
    return made


def _groups(tables: Tables, plan: Plan) -> list[list[Step]]:
    """The steps by tables, children first; together those that refer to each other."""
    names = list(dict.fromkeys(step.table for step in plan.steps))
    by_oid = {tables.tables[name].relation.oid: name for name in names}
    children = {name: {r.source.table for r in tables.children(name)} for name in names}
    for step in plan.steps:
        if step.kind == "delete":
            oid = tables.tables[step.table].relation.oid
            for key in referring(tables.connection, oid):
                if child := by_oid.get(key.child_oid):
                    children[step.table].add(child)
    below: dict[str, set[str]] = {}
    for name in names:
        found = [name]
        for one in found:
            found += [c for c in names if c in children[one] and c not in found]
        below[name] = {c for one in found for c in children[one] if c in names}
    # A table has all those below it, and more, unless they refer to each other.
    ordered = sorted(names, key=lambda name: len(below[name] | {name}))
    groups: dict[frozenset[str], list[Step]] = {}
    for name in ordered:
        circle = frozenset({name} | {c for c in below[name] if name in below[c]})
        groups.setdefault(circle, []).extend(s for s in plan.steps if s.table == name)
    return [sorted(group, key=lambda step: step.order) for group in groups.values()]


def _roots(tables: Tables, table: str, keys: Sequence[Key], *, lock: bool) -> list[Key]:
    found = tables.state(table, keys, lock=lock)
    if len(found) < len(keys) and (absent := tables.absent(table, keys)):
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


def lock_elections(tables: Tables, written: Collection[str]) -> None:
    """Let one transaction at a time elect defaults: before any row is locked.

    The application's own elections write the flag, which the lock keeps out as well.
    """
    oids = sorted(
        (tables.tables[name].relation.oid, tables.tables[name].sql)
        for name in {name for name, _ in tables.declared.defaults()} & set(written)
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
        self._empty_no_more()
        self._refuse()

    def _empty_no_more(self) -> None:
        """Let rows that are deleted for another reason not be emptied, if they may stay.

        A soft-deleted one still refers to its parent, which must not be deleted for good.
        """
        gone = {
            (step.table, frozen(key))
            for step in self.plan.steps
            if step.kind == "delete"
            for key in step.keys
        }
        kept = []
        for step in self.plan.steps:
            if step.kind == "null":
                deleted = gone if step.orphaned else self.seen
                keys = [k for k in step.keys if (step.table, frozen(k)) not in deleted]
                step = replace(step, keys=keys)
            if step.keys:
                kept.append(step)
        self.plan.steps = kept

    def _children(self, ref: Reference, step: Step) -> list[Step]:
        if ref.on_delete == "keep" and step.kind == "soft_delete":
            return []
        keys = self._live_children(ref, step)
        if not keys:
            return []
        why, level = f"its {step.table} was deleted", step.level + 1
        match ref.on_delete:
            case "soft_delete" | "delete" | "null":
                for_good = step.kind == "delete"
                table = ref.source.table
                return [Step(table, ref.on_delete, keys, level, why, ref, for_good)]
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
        if step.kind == "null":
            return step
        self.seen |= {(step.table, frozen(key)) for key in keys}
        return replace(step, keys=keys)

    def _merged(self, found: list[Step]) -> list[Step]:
        """One step for each table and kind, of rows that no earlier one has."""
        kept: dict[tuple[str, Kind, str, bool], Step] = {}
        for step in sorted(found, key=lambda step: step.order, reverse=True):
            fresh = self._fresh(step)
            what = fresh.table, fresh.kind, fresh.emptied, fresh.orphaned
            known = kept.setdefault(what, fresh)
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
    for name in dict.fromkeys(step.table for step in plan.steps):
        deleted = plan.keys(name, "delete")
        changed = [
            (step.keys, {*written(tables, step)})
            for step in plan.steps
            if step.table == name and step.kind != "delete"
        ]
        if deleted and (rows := _inherited(tables, name, deleted)):
            why = f"their table inherits from {name}, and the journal has no more columns"
            plan.refused.append(Refusal(name, rows, why))
        for key in referring(tables.connection, tables.tables[name].relation.oid):
            child = by_oid.get(key.child_oid)
            moved = [k for keys, names in changed if names & {*key.target} for k in keys]
            why = f"they refer to {name} through the foreign key {key.name}"
            if deleted and (rows := _held(tables, plan, name, key, child, deleted)):
                plan.refused.append(Refusal(child or key.child_name, rows, why))
            if moved and (rows := _held(tables, plan, name, key, child, moved)):
                says = "forbids it"
                if key.on_update in DOES:
                    says = "would change them, which no restoration reverts"
                why += f", the deletion changes {', '.join(key.target)}, and the key {says}"
                plan.refused.append(Refusal(child or key.child_name, rows, why))


def _inherited(tables: Tables, name: str, keys: list[Key]) -> list[Key]:
    """Those of a table's rows that are in a table which inherits from it."""
    table = tables.tables[name]
    if table.relation.kind != "r":
        return []
    found = tables.query(
        f"""
        select {key_object(table.key, "this")} as key from {table.sql} this
        where {within(table, "this", "keys")}
          and this.tableoid operator(pg_catalog.<>) %(oid)s::pg_catalog.oid
        order by {listed(table.key, "this")} limit {MOST_NAMED}
        """,
        **parameters(table, "keys", keys),
        oid=table.relation.oid,
    )
    return [row["key"] for row in found]


def written(tables: Tables, step: Step) -> dict[str, str]:
    """By column the SQL that a step which keeps its rows writes."""
    if step.kind == "null":
        marks = {step.emptied: "null"}
    else:
        soft = tables.declared.soft(step.table)
        assert soft is not None
        if part := [name for name in soft.marks if name in tables.tables[step.table].key]:
            raise UsageError(
                f"the [[soft_delete]] of {step.table} changes {part[0]}, which is part of "
                "its key: a row that was deleted could not be found again",
                hint="mark rows by a column that is not part of the primary key",
            )
        row = "(select this.*) as sexton_row"  # bare columns mean the row before
        marks = {
            name: f"(select {value.replace('%', '%%')} from {row})"
            for name, value in soft.marks.items()
        }
    for name, flag in tables.declared.defaults():
        # A row is no default of a group that it leaves.
        leaves = step.emptied in flag.per
        if step.kind == "soft_delete":
            leaves = not flag.flag_on_deleted
        if name == step.table and leaves and flag.flag not in step.kept:
            flagged = f"this.{column(flag.flag)}"
            marks[flag.flag] = f"case when {flagged} then false else {flagged} end"
    return marks


def _held(
    tables: Tables,
    plan: Plan,
    name: str,
    key: ForeignKey,
    child: str | None,
    keys: list[Key],
) -> list[Key]:
    """The rows that refer to some by a foreign key, and neither go nor are emptied."""
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
        **parameters(parent, "keys", keys),
        **(parameters(tables.tables[child], "gone_too", gone_too) if child else {}),
    )
    return [row["key"] for row in rows]


def _elections(tables: Tables, plan: Plan) -> list[Election]:
    """For each group that loses its default, or gets rows, the row that becomes it."""
    found: list[Election] = []
    for name, flag in tables.declared.defaults():
        gone = plan.keys(name, "soft_delete", "delete")
        moved = {
            column: [
                k
                for s in plan.steps
                if s.table == name and s.emptied == column
                for k in s.keys
            ]
            for column in flag.per
        }
        if gone or any(moved.values()):
            changes = _elect(tables, name, flag, gone, moved)
            found += [Election(name, flag, change) for change in changes]
    return found


def _elect(
    tables: Tables,
    name: str,
    flag: Default,
    gone: list[Key],
    moved: dict[str, list[Key]],
) -> list[DefaultChange]:
    """`moved` are the rows that leave their group, for a column of it is emptied."""
    table, among = tables.tables[name], tables.declared.among(flag)
    flagged = f"coalesce(this.{column(flag.flag)}, false)"
    group = key_object(flag.per, "this") if flag.per else "'{}'::pg_catalog.jsonb"
    then, left = group, "false"
    given: dict[str, list[str | None]] = {}
    for n, (emptied, keys) in enumerate(moved.items()):
        test = within(table, "this", f"moved {n}")
        given |= parameters(table, f"moved {n}", keys)
        null = f"pg_catalog.jsonb_build_object({text(emptied)}, null)"
        then += f" operator(pg_catalog.||) case when {test} then {null} "
        then += "else '{}'::pg_catalog.jsonb end"
        left += f" or {test}"
    rows = tables.query(
        f"""
        with rows as materialized (
            select this.*, {key_object(table.key, "this")} as "sexton key",
                {group} as "sexton group", {then} as "sexton then",
                {flagged} as "sexton flag", ({left}) as "sexton left",
                {within(table, "this", "gone")} as "sexton gone"
            from {tables.live(name, among)} this
        ),
        touched as (
            select this."sexton group" as "group", this."sexton key" as before
            from rows this
            where this."sexton flag" and (this."sexton gone" or this."sexton left")
            union all
            select this."sexton then", null from rows this
            where this."sexton flag" and this."sexton left" and not this."sexton gone"
        )
        select "group", before, after
        from (
            select distinct on (touched."group") touched.*, (
                select this."sexton key" from rows this
                where this."sexton then" operator(pg_catalog.=) touched."group"
                  and not this."sexton gone"
                  and (this."sexton flag" or not this."sexton left")
                order by {flag.order("this", table.key).replace("%", "%%")} limit 1
            ) as after
            from touched
            where not exists (
                select from rows this
                where this."sexton then" operator(pg_catalog.=) touched."group"
                  and this."sexton flag"
                  and not this."sexton gone" and not this."sexton left"
            )
            order by touched."group", touched.before nulls last
        ) elected
        where before is not null or after is not null
        """,
        **parameters(table, "gone", gone),
        **given,
    )
    return [DefaultChange(table_name(flag.table), **row) for row in rows]
