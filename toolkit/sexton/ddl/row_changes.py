"""Row changes: what a step does to rows, so that the journal can have each of them.

A revision is history and imports nothing of ours, so it declares a change as data, among
its statements:

    {"update": "orders", "set": {"open": "false"}, "where": "this.closed_at is not null"}
    {"insert": "customers", "columns": ["id", "name"], "source": "select …"}
    {"delete": "orders", "where": "this.id < 0"}

A foreign key may pass a change on to rows of other tables, or refuse it. Such a change is
refused; with `"cascades": True`, rows that a key would delete or empty are deleted or
emptied before, each with its record.

`this` is the row before. Where the journal can be written, rows and record are one
statement, in the step's transaction; the journal is made where there is none yet.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from sexton import journal
from sexton.catalog.cascades import DOES, Key, referring
from sexton.catalog.relations import SAFE_PATH, Relation, quoted, resolve
from sexton.catalog.tables import Table, describe
from sexton.catalog.triggers import EVENTS, firing
from sexton.database import Connection, scalar, settings
from sexton.ddl.aftermath import Aftermath
from sexton.ddl.row_loop import row_loop
from sexton.errors import Refused, SextonError
from sexton.journal.recorder import Recorder, deleting, inserting, updating
from sexton.journal.tables import unwritten
from sexton.text.printable import printable

DEEPEST = 8  # how often one key is followed, from a row to rows of its own table
KINDS = {
    "update": {"set", "where"},
    "insert": {"columns", "source"},
    "delete": {"where"},
}


@dataclass(frozen=True)
class RowChange:
    """One UPDATE, INSERT or DELETE of a step; all its texts are SQL.

    `set` are the new values by column, `where` says which rows, both over `this`;
    `columns` are those of the query `source`. `batched` says that a row which is changed
    no longer fits `where`: outside a transaction it may be made some rows at a time.
    `cascades` lets foreign keys pass it on to other tables.
    """

    kind: str
    table: str
    where: str = ""
    set: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    source: str = ""
    batched: bool = False
    cascades: bool = False

    @classmethod
    def of(cls, declared: Any) -> "RowChange":
        """The change that a revision declares; raises TypeError, ValueError."""
        if isinstance(declared, RowChange):
            return declared
        [kind] = KINDS.keys() & dict(declared).keys()
        if declared.keys() - {"cascades"} != KINDS[kind] | {kind}:
            raise ValueError
        values = {name: declared[name] for name in KINDS[kind]}
        values["cascades"] = declared.get("cascades", False)
        if not isinstance(values["cascades"], bool):
            raise TypeError
        if kind == "insert":
            values["columns"] = tuple(values["columns"])
        return cls(kind, declared[kind], **values)

    @property
    def name(self) -> str:
        """The table's name in SQL, as far as it was given."""
        return ".".join(map(quoted, self.table.split(".", 1)))

    @property
    def sql(self) -> str:
        """The statement alone, without the journal."""
        if self.kind == "insert":
            names = ", ".join(map(quoted, self.columns))
            return f"insert into {self.name} ({names})\n{self.source}"
        return f"{self.head} where {self.where}"

    @property
    def head(self) -> str:
        """The UPDATE or DELETE without its condition."""
        if self.kind == "delete":
            return f"delete from {self.name} as this"  # noqa: S608
        sets = ", ".join(f"{quoted(name)} = {value}" for name, value in self.set.items())
        return f"update {self.name} as this set {sets}"  # noqa: S608

    @property
    def rows(self) -> str:
        """The query of the rows that it will change, or make."""
        if self.kind == "insert":
            return self.source
        return f"select from {self.name} as this where {self.where}"

    @property
    def counted(self) -> str:
        """The query of how many rows it will change; not of an insert."""
        count = "select pg_catalog.count(*) as rows"
        return f"{count} from {self.name} as this where {self.where}"

    def make(
        self, recorder: Recorder, table: Table, why: str, after: Aftermath | None
    ) -> None:
        """Change the rows and record each, in one statement; look what triggers do."""
        more: Any = {"why": why, "returning": after.returning if after else {}}
        if self.kind == "insert":
            made = inserting(table, self.columns, _escaped(self.source), **more)
        elif self.kind == "delete":
            made = deleting(table, _escaped(self.where), **more)
        else:
            sets = {name: _escaped(value) for name, value in self.set.items()}
            made = updating(table, sets, _escaped(self.where), **more)
        found = recorder.make(made)
        if after:
            after.confirm(recorder.connection, recorder.run, found)


def _escaped(sql: str) -> str:
    return sql.replace("%", "%%")  # as in a statement that has parameters


def text_of(statement: str | RowChange) -> str:
    """A statement of a step as SQL that a script sends."""
    if isinstance(statement, str):
        return statement
    if not statement.batched:
        return statement.sql
    lock = "update" if statement.kind == "delete" else "no key update"
    return row_loop(statement.name, statement.where, statement.head, lock=lock)


@dataclass
class StepJournal:
    """The journal of one step's rows: a run of its own, in the transaction of the rows.

    `kind` is that of the run, `upgrade` or `downgrade`, `start` where the database is,
    `relations` are the step's tables. Where the journal cannot be written, the rows are
    changed all the same, as the schema is, and `say` is told, once. `undo` says that no
    downgrade restores the rows, so that an undo of the run may.
    """

    title: str
    kind: str
    start: Sequence[str]
    relations: dict[str, Relation]
    say: Callable[[str], None]
    undo: bool = False
    run: int | None = None
    told: set[str] = field(default_factory=set)
    tables: dict[str, Table] = field(default_factory=dict)
    keys: dict[int, list[Key]] = field(default_factory=dict)
    path: list[int] = field(default_factory=list)  # the keys that led here

    def make(self, driver: Connection, change: RowChange) -> None:
        """Make a change in the caller's transaction; its search_path sees the table."""
        asked: Any = f"select exists ({change.rows})"
        if scalar(driver, asked):
            self.write(driver, change)

    def write(self, driver: Connection, change: RowChange) -> None:
        """Make a change that is known to have rows, or to have had them a moment ago."""
        table = self.tables.get(change.table) if self.run is not None else None
        with settings(driver, {"search_path": SAFE_PATH}):
            if table is None:
                table = self._open(driver, change)
            after = self._watch(driver, change)
        if change.kind != "insert":
            self._see_to_children(driver, change)
        known = table or (after.table if after else None)
        if known is None:
            statement: Any = change.sql
            driver.execute(statement)
        else:
            recorder = Recorder(driver, self.run if table else None)
            change.make(recorder, known, self.title, after)

    def _see_to_children(self, driver: Connection, change: RowChange) -> None:
        """Refuse what foreign keys would do to other rows, or do it first, recorded."""
        relation = self.relations[change.table]
        if (known := self.keys.get(relation.oid)) is None:
            with settings(driver, {"search_path": SAFE_PATH}):
                known = self.keys[relation.oid] = referring(driver, relation.oid)
        if not (keys := concerned(change, known)):
            return
        # Locked, a row gets no more children.
        strength = "update" if change.kind == "delete" else "no key update"
        query: Any = f"{change.rows} for {strength} of this"
        driver.execute(query)
        for key in keys:
            reached = children(key, change, relation)
            count: Any = reached.counted
            if not (rows := scalar(driver, count)):
                continue
            if not (change.cascades and passes_on(key, change)):
                raise Refused(said(key, change, rows), hint=advice(key, change))
            if change.kind == "update":
                self._tell(f"{said(key, change, rows)}, which is not in the journal")
                continue
            if self.path.count(key.oid) >= DEEPEST:
                raise Refused(
                    f"rows of {printable(key.child_name)} refer to each other more than "
                    f"{DEEPEST} times over, or in a circle, by {printable(key.name)}",
                    hint="delete them first",
                )
            with settings(driver, {"search_path": SAFE_PATH}):
                self.relations |= resolve(driver, [reached.table])
            self.path.append(key.oid)
            try:
                self.write(driver, reached)
            finally:  # a transaction that waited for a lock is made again
                self.path.pop()

    def _watch(self, driver: Connection, change: RowChange) -> Aftermath | None:
        """What triggers may do to the rows; None where there are none, or no key."""
        oid = self.relations[change.table].oid
        triggers = firing(driver, {oid: EVENTS[change.kind]})
        if not triggers:
            return None
        table = self.describe(driver, change.table)
        after = Aftermath(triggers, table, change.kind, [*change.set, *change.columns])
        if table.key:
            return after
        self._tell(
            f"are not looked at again, and {after.by} may have changed them: "
            f"{printable(change.table)} has no primary key"
        )
        return None

    def describe(self, driver: Connection, name: str) -> Table:
        """A table of the step, with its columns and key."""
        return describe(driver, {name: self.relations[name]})[name]

    def _open(self, driver: Connection, change: RowChange) -> Table | None:
        """The table as the journal needs it, and a run; None where that cannot be."""
        table = self.describe(driver, change.table)
        why = "" if table.key else f"{change.table} has no primary key"
        if not why and self.run is None:
            try:
                with driver.transaction():
                    self.run = journal.begin_run(
                        driver,
                        self.kind,
                        options={
                            "from": _one(self.start),
                            "step": self.title,
                            **({"undo": True} if self.undo else {}),
                        },
                        batched=change.batched,
                    )
            except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
                raise  # of a transaction that is made again, or not at all
            except (SextonError, psycopg.Error) as error:
                why = unwritten(error)
        if not why:
            self.tables[change.table] = table
            return table
        self._tell(f"are not in the journal: {why}")
        return None

    def _tell(self, what: str) -> None:
        """Say something of the step's rows, once."""
        if what not in self.told:
            self.told.add(what)
            self.say(f'the rows of the step "{self.title}" {what}')


def concerned(change: RowChange, keys: Iterable[Key]) -> list[Key]:
    """The keys by which a change may reach rows of others, or be refused by them."""
    if change.kind == "delete":
        return list(keys)
    if change.kind == "update":
        return [k for k in keys if k.on_update in DOES and {*change.set} & {*k.target}]
    return []


def passes_on(key: Key, change: RowChange) -> bool:
    """Whether a key passes a change on; else it refuses it."""
    return change.kind == "update" or key.action in DOES


def children(key: Key, change: RowChange, relation: Relation) -> RowChange:
    """What a key does to the rows that refer to those which a change takes: as a change.

    Rows that the change itself takes cannot refuse it.
    """
    rows = f"select this.* from {relation.sql} as this where {change.where}"  # noqa: S608
    where = key.reached("{}").replace("%%", "%").replace("{}", rows)
    if key.child_oid == relation.oid and not passes_on(key, change):
        where += f" and ({change.where}) is not true"
    name = f"{key.child_schema}.{key.child_name}"
    if key.action == "c":
        return RowChange("delete", name, where, cascades=True)
    value = "null" if key.action == "n" else "default"
    sets = dict.fromkeys(key.emptied, value)
    return RowChange("update", name, where, sets, cascades=True)


def said(key: Key, change: RowChange, count: int) -> str:
    """What a key does to so many rows, in words."""
    if change.kind == "update":
        return key.reaches(change.table, count, "updating")
    if key.action in DOES:
        does = f"which {'is' if count == 1 else 'are'} {DOES[key.action]}"
        return f"{key.reaches(change.table, count)}, {does}"
    return key.refuses(change.table, count)


def advice(key: Key, change: RowChange) -> str:
    """What to do about it."""
    if passes_on(key, change):
        return "see to those rows first; or let them be changed too: cascades=True"
    return "see to those rows first"


def unrecorded(driver: Connection, changes: Sequence[str | RowChange]) -> list[str]:
    """Why the journal will not have the rows that a step changes, in words. Reads only.

    The session has pg_catalog alone in sight; tables that are not there yet say nothing.
    """
    names = {change.table for change in changes if isinstance(change, RowChange)}
    there = resolve(driver, names)
    if not there:
        return []
    objection = journal.find_objection(driver)
    why = [unwritten(objection)] if objection else []
    tables = describe(driver, there)
    why += [f"{name} has no primary key" for name in sorted(there) if not tables[name].key]
    return [f"the rows that it changes will not be in the journal: {one}" for one in why]


def _one(start: Sequence[str]) -> Any:
    return start[0] if len(start) == 1 else list(start) or None
