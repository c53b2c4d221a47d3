"""Cascades: the foreign keys by which a change of one table reaches rows of others.

What a deletion would delete or empty elsewhere is planned, made and journalled like any
other change, before the deletion; so the server has nothing left to pass on.
"""

# ruff: noqa: S608 - quoted names; values are parameters

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from sexton.catalog.cascades import DOES, Key, referring
from sexton.catalog.relations import resolve
from sexton.catalog.tables import Table, describe
from sexton.database import Connection
from sexton.journal.images import column, image, key_object, read
from sexton.repair.plan import Action, Limit
from sexton.text.exact import canonical, identity, loads
from sexton.text.printable import printable

CASCADES = "cascades"  # what `Options.allow` calls it
REFERENCED = "referenced"
UNKEPT = "which is not in the journal"

Rows = set[tuple[int, Hashable]]  # by the oid of a table, and a key


@dataclass
class Reach:
    """What the deletions of a plan would do to rows of other tables.

    `followed` are actions for them, those first that refer to others; `limits` say what
    was seen. `tables` are the tables that this took, by name.
    """

    followed: list[Action] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)


def reach(
    connection: Connection,
    tables: Mapping[str, Table],
    actions: Iterable[Action],
    allow: Collection[str],
) -> Reach:
    """Follow the deletions of a plan to the rows that refer to theirs. Reads only."""
    return _Walk(connection, dict(tables), allow).walk(list(actions))


@dataclass
class _Walk:
    connection: Connection
    tables: dict[str, Table]
    allow: Collection[str]
    found: Reach = field(default_factory=Reach)
    gone: Rows = field(default_factory=set)
    moved: dict[tuple[int, Hashable], set[str]] = field(default_factory=dict)

    def walk(self, actions: list[Action]) -> Reach:
        for action in actions:
            at = self.tables[action.table].relation.oid, identity(action.key)
            if action.kind == "delete":
                self.gone.add(at)
            elif action.kind == "update":
                changed = {n for n, pair in action.change.items() if pair[0] != pair[1]}
                self.moved.setdefault(at, set()).update(changed)
        waiting = [action for action in actions if action.kind == "delete"]
        forbidden: list[tuple[str, Key, list[Action]]] = []
        while waiting:
            name = waiting[0].table
            deleted = [action for action in waiting if action.table == name]
            waiting = [action for action in waiting if action.table != name]
            for key in referring(self.connection, self.tables[name].relation.oid):
                if key.action not in DOES:
                    forbidden.append((name, key, deleted))
                    continue
                made = self._pass_on(key, name, deleted)
                self.found.followed += made
                waiting += [action for action in made if action.kind == "delete"]
        for name, key, deleted in forbidden:
            if count := len(list(self._children(key, name, deleted))):
                saw = key.refuses(name, count)
                self.found.limits.append(Limit(REFERENCED, saw, "", lifted=False))
        emptied = [
            action
            for action in self.found.followed
            if action.kind == "delete"
            or (self.tables[action.table].relation.oid, identity(action.key))
            not in self.gone
        ]
        self.found.followed = emptied[::-1]
        return self.found

    def _pass_on(self, key: Key, name: str, deleted: list[Action]) -> list[Action]:
        """What a key does to the rows that refer to deleted ones, and the limit of it."""
        children = list(self._children(key, name, deleted))
        if not children:
            return []
        known = self._table(key)
        saw = key.reaches(name, len(children))
        made = []
        if known is None:
            saw += f", {UNKEPT}"
        else:
            child, table = known
            why = f"the row of {name} that it refers to by {key.name} is deleted"
            for row in children:
                action = self._action(key, child, table, row, deleted[0].check, why)
                if action:
                    made.append(action)
        lifted = CASCADES in self.allow
        self.found.limits.append(Limit(CASCADES, saw, f"--allow-{CASCADES}", lifted=lifted))
        return made

    def _action(
        self,
        key: Key,
        name: str,
        table: Table,
        row: Mapping[str, Any],
        check: str,
        why: str,
    ) -> Action | None:
        at = table.relation.oid, identity(row["key"])
        before = row["image"]
        if key.action == "c":
            self.gone.add(at)
            change = {column: [value, None] for column, value in before.items()}
            return Action(check, name, row["key"], change, why, "delete")
        columns = [c for c in key.emptied if c not in self.moved.get(at, ())]
        self.moved.setdefault(at, set()).update(columns)
        if not columns:
            return None
        change = {column: [before.get(column), None] for column in columns}
        return Action(check, name, row["key"], change, why, "update")

    def _children(
        self, key: Key, name: str, deleted: list[Action]
    ) -> Iterator[dict[str, Any]]:
        """The rows that refer to deleted ones, and that the plan leaves doing so."""
        parent = self.tables[name]
        child = self._described(key)
        values = [
            {**a.key, **{column: pair[0] for column, pair in a.change.items()}}
            for a in deleted
        ]
        typed = ", ".join(
            f"{read(parent, target, 'e.value')} as {column(target)}"
            for target in key.target
        )
        its_key = child.key or tuple(child.columns)
        query: Any = f"""
            select distinct {key_object(its_key, "c")} as key, {image(child, "c")} as image
            from (
                select {typed}
                from pg_catalog.jsonb_array_elements(%s::pg_catalog.jsonb) as e (value)
                offset 0
            ) d
            join {key.child} c on {key.same("d", "c")}
            order by 1
        """
        with self.connection.cursor(row_factory=dict_row) as cursor:
            set_json_loads(loads, cursor)
            found = cursor.execute(query, (canonical(values),)).fetchall()
        for row in found:
            at = key.child_oid, identity(row["key"])
            if at in self.gone or self.moved.get(at, set()) & {*key.columns}:
                continue
            yield row

    def _described(self, key: Key) -> Table:
        for table in self.tables.values():
            if table.relation.oid == key.child_oid:
                return table
        name = f"{key.child_schema}.{key.child_name}"
        relations = resolve(self.connection, [name])
        [table] = describe(self.connection, relations).values()
        self.tables[name] = self.found.tables[name] = table
        return table

    def _table(self, key: Key) -> tuple[str, Table] | None:
        """The child by the name that a plan calls it; None if its rows cannot be named."""
        return next(
            (
                (name, table)
                for name, table in self.tables.items()
                if table.relation.oid == key.child_oid and may_follow(key, table)
            ),
            None,
        )


def may_follow(key: Key, child: Table) -> bool:
    """Whether a plan can say what a key does to a row: by its key, and to which value."""
    return key.action in ("c", "n") and bool(child.key)


def of_updates(
    connection: Connection,
    table: Table,
    name: str,
    changed: Collection[str],
    allow: Collection[str],
) -> Iterator[Limit]:
    """The limits of keys that pass an update on. Reads only."""
    for key in referring(connection, table.relation.oid):
        if key.on_update in DOES and {*changed} & {*key.target}:
            saw = f"updating {printable(name)} may reach rows of {key.shown}, {UNKEPT}"
            yield Limit(CASCADES, saw, f"--allow-{CASCADES}", lifted=CASCADES in allow)


def reachable(
    connection: Connection, oids: Iterable[int]
) -> dict[int, tuple[str, frozenset[str] | None]]:
    """The tables that deletions from some may reach: their names, and which columns.

    None stands for whole rows, which are deleted. Reads only.
    """
    found: dict[int, tuple[str, frozenset[str] | None]] = {}
    for key in referring(connection, *oids, follow=True):
        if key.action in DOES:
            name = f"{key.child_schema}.{key.child_name}"
            before = found.get(key.child_oid, (name, frozenset()))[1]
            if key.action != "c" and before is not None:
                found[key.child_oid] = name, before | {*key.emptied}
            else:
                found[key.child_oid] = name, None
    return found
