"""Bringing back what a deletion deleted, as far as nobody has changed it since."""

# ruff: noqa: S608 - quoted names and a declaration's own SQL; values are parameters

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from sexton import journal
from sexton.catalog.triggers import firing
from sexton.errors import NotFound, Refused, UsageError
from sexton.journal.images import column, key_object
from sexton.journal.recorder import Recorder
from sexton.reference import Default, Reference
from sexton.repair.aftermath import Aftermath
from sexton.repair.batches import LARGEST_BATCH
from sexton.repair.changes import Writer
from sexton.repair.reversal import CHANGED_SINCE, Reversal
from sexton.repair.safety import TRIGGERS
from sexton.repair.undo import prepare
from sexton.rows.delete import forbidden, setting, write
from sexton.rows.plan import lock_elections
from sexton.rows.result import Change, DefaultChange, Document, Key, Left
from sexton.rows.tables import Tables, few, named, parameters, within
from sexton.text.exact import canonical, loads
from sexton.text.printable import printable

CHANGES = """
    select c.step, c.table_schema as schema, c.table_name as name, c.key::text as key,
        c.before, c.after
    from sexton.changes c where c.run = %(run)s order by c.step
"""
DELETED = """
    select r.run, r.options, not exists (
        select from jsonb_array_elements(r.options -> 'keys') k (key) where k.key <> c.key
    ) as alone
    from sexton.changes c join sexton.runs r on r.run = c.run
    where r.kind = 'delete'
      and not exists (
          select from sexton.runs u where u.run = r.undone_by and u.undone_by is null
      )
      and c.relation = %(oid)s::oid and c.key = %(key)s::jsonb
    order by r.run desc limit 1
"""


def find_run(tables: Tables, table: str, key: Key) -> int:
    """The run that deleted a row; raises NotFound, or Refused if it deleted others too."""
    there = tables.state(table, [key], lock=False)
    live = bool(there and there[0]["live"])
    found = []
    if not live and journal.has_journal(tables.connection):
        typed = canonical(there[0]["key"]) if there else _typed(tables, table, key)
        oid = tables.tables[table].relation.oid
        found = tables.query(DELETED, oid=oid, key=typed)
    if not found:
        why = "is not deleted" if live else "was deleted by no `sexton delete`"
        raise NotFound(f"{table} {named(key)} {why}", hint="sexton history")
    [run] = found
    if run["options"].get("table") != table or not run["alone"]:
        what = f"{run['options'].get('table')} {few(run['options'].get('keys', []))}"
        raise Refused(
            f"run {run['run']} deleted {table} {named(key)} together with "
            f"{printable(what)}",
            hint=f"to restore all of it: sexton restore --run {run['run']}",
        )
    return int(run["run"])


def _typed(tables: Tables, table: str, key: Key) -> str:
    """A key, given as texts, as the journal has it."""
    known = tables.tables[table]
    values = ", ".join(
        f"%({n})s::pg_catalog.text::{known.columns[name].type} as {column(name)}"
        for n, name in enumerate(known.key)
    )
    given = {str(n): key[name] for n, name in enumerate(known.key)}
    shown = f"{key_object(known.key, 'k')}::pg_catalog.text"
    [row] = tables.query(f"select {shown} as key from (select {values}) k", **given)
    return str(row["key"])


@dataclass
class _Restoration:
    tables: Tables
    undone: Mapping[str, Any]
    actor: str | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)  # by step: why

    def __post_init__(self) -> None:
        self.names = {
            (table.relation.schema, table.relation.name): name
            for name, table in self.tables.tables.items()
        }
        self.rows = self.tables.query(CHANGES, run=self.undone["run"])
        names = dict.fromkeys(self.name(row) for row in self.rows)
        self.written = [name for name in names if name in self.tables.tables]
        lock_elections(self.tables, self.written)
        # The steps by which the run made rows a default.
        self.elected = {
            (row["step"], flag.flag): row["key"]
            for row in self.rows
            for name, flag in self.tables.declared.defaults()
            if self.name(row) == name
            and (row["before"] and row["after"])
            and not row["before"].get(flag.flag)
            and row["after"].get(flag.flag)
        }
        self.elections = {step for step, _ in self.elected}

    def name(self, row: Mapping[str, Any]) -> str:
        """The declared name of a changed row's table."""
        return self.names.get((row["schema"], row["name"]), str(row["name"]))

    def attempt(self, *, dry_run: bool) -> tuple[Document, dict[int, str]]:
        """Restore all but `skipped`; also returns why steps cannot be restored."""
        connection = self.tables.connection
        flags: dict[tuple[str | None, str], set[str]] = {}
        for name, flag in self.tables.declared.defaults():
            relation = self.tables.tables[name].relation
            flags.setdefault((relation.schema, relation.name), set()).add(flag.flag)
        job: Reversal = replace(
            prepare(connection, self.undone, actor=self.actor, allow=(TRIGGERS,)),
            kind="restore",
            skip=frozenset(self.skipped) | self.elections,
            kept=flags,
        )
        run = job.begin(finished=True)
        triggers = firing(connection, job.writes)
        after = Aftermath(connection, triggers, own=False) if triggers else None
        self.tables.settle(self.written, early=True)
        for batch in job.batches(lambda: LARGEST_BATCH, 0):
            job.make(Writer(connection, run, after), batch, 0)
        if after:
            job.judge(after.settle(run), run, 0)
        restored = self._restored(run, job)
        wrong = self._not_restored(job, restored) | self._under_dead_parents(restored)
        defaults = self._defaults(run, restored)
        if not wrong:
            try:
                with self.tables.write_settings(self.written):
                    self.tables.settle(self.written)
            except psycopg.IntegrityError as error:
                raise forbidden(error, self.written[0]) from None
        keys: dict[str, list[Key]] = {}
        for row in restored:
            keys.setdefault(self.name(row), []).append(loads(row["key"]))
        document = Document(
            run=None if dry_run else run,
            dry_run=dry_run,
            table=str(self.undone["options"].get("table", "")),
            changes=[Change(t, "restore", len(found), found) for t, found in keys.items()],
            defaults=defaults,
            left=[
                Left(self.name(row), loads(row["key"]), why)
                for row in self.rows
                for why in [self.skipped.get(row["step"]) or wrong.get(row["step"])]
                if why
            ],
        )
        return document, wrong

    def _restored(self, run: int, job: Reversal) -> list[dict[str, Any]]:
        written_steps = "select step from sexton.changes where run = %(run)s"
        steps = self.tables.query(written_steps, run=run)
        last = job.total
        written = {last - row["step"] + 1 for row in steps} - self.elections
        return [row for row in reversed(self.rows) if row["step"] in written]

    def _not_restored(
        self, job: Reversal, restored: Sequence[Mapping[str, Any]]
    ) -> dict[int, str]:
        known, last = {row["step"] for row in restored}, job.total
        ignored = known | set(self.skipped) | self.elections
        return {
            row["step"]: job.reasons.get(last - row["step"] + 1, CHANGED_SINCE)
            for row in self.rows
            if row["step"] not in ignored
        }

    def _under_dead_parents(self, restored: Sequence[Mapping[str, Any]]) -> dict[int, str]:
        """The restored rows that refer to a parent that is not live."""
        found: dict[int, str] = {}
        tables = self.tables
        for ref in tables.references:
            mine = [row for row in restored if self.name(row) == ref.source.table]
            if not mine or ref.target.table not in tables.tables:
                continue
            child = tables.tables[ref.source.table]
            live, parent_live = tables.declared.sides(ref)
            keys = parameters(child, "keys", [loads(row["key"]) for row in mine])
            self._lock_parents(ref, parent_live, keys)
            columns = [f"not (this.{column(c)} is null)" for c in ref.source.columns]
            given = " and ".join(columns)
            dead = tables.query(
                f"""
                select {key_object(child.key, "this")}::pg_catalog.text as key
                from {tables.live(ref.source.table, live)} this
                where {within(child, "this", "keys")} and {given} and not exists (
                    select from {tables.live(ref.target.table, parent_live)} parent
                    where {tables.joined(ref, "this", "parent")}
                )
                """,
                **keys,
            )
            found_dead = {row["key"] for row in dead}
            why = f"{ref.source.label} refers to {ref.target.table}, which is not live"
            found |= {row["step"]: why for row in mine if row["key"] in found_dead}
        return found

    def _lock_parents(self, ref: Reference, live: str, keys: Mapping[str, Any]) -> None:
        """Keep the parents of restored rows live until the end, if the role may lock them.

        A deletion of one waits, and then sees the restored rows.
        """
        tables, child = self.tables, self.tables.tables[ref.source.table]
        parent = tables.tables[ref.target.table]
        [row] = tables.query(
            "select pg_catalog.has_any_column_privilege(%(oid)s::pg_catalog.oid, "
            "'update'::pg_catalog.text) as may",
            oid=parent.relation.oid,
        )
        if row["may"]:
            tables.query(
                f"""
                select from {tables.live(ref.target.table, live)} parent
                where exists (
                    select from {child.sql} this
                    where {within(child, "this", "keys")}
                      and {tables.joined(ref, "this", "parent")}
                )
                for share of parent
                """,
                **keys,
            )

    def _defaults(
        self, run: int, restored: Sequence[Mapping[str, Any]]
    ) -> list[DefaultChange]:
        """Give restored rows their flag back, unless it moved after the run elected."""
        changes: list[DefaultChange] = []
        for name, flag in self.tables.declared.defaults():
            mine = [row for row in self.rows if self.name(row) == name]
            elected = {
                self.elected[row["step"], flag.flag]
                for row in mine
                if (row["step"], flag.flag) in self.elected
            }
            steps = {row["step"] for row in restored}
            was = {
                row["key"]: None
                for row in mine
                if row["step"] in steps and (row["before"] or {}).get(flag.flag)
            }
            for key in was:
                changes += self._default(run, name, flag, key, elected)
        return changes

    def _default(
        self, run: int, name: str, flag: Default, key: str, elected: set[str]
    ) -> list[DefaultChange]:
        tables, table = self.tables, self.tables.tables[name]
        mine: Key = loads(key)
        group = key_object(flag.per, "this") if flag.per else "'{}'::pg_catalog.jsonb"
        same = " and ".join(
            f"this.{column(c)} is not distinct from mine.{column(c)}" for c in flag.per
        )
        among = tables.live(name, tables.declared.among(flag))
        held = tables.query(
            f"""
            select {key_object(table.key, "this")}::pg_catalog.text as key
            from {among} this, {table.sql} mine
            where {within(table, "mine", "keys")} and this.{column(flag.flag)}
              {f"and {same}" if same else ""}
            """,
            **parameters(table, "keys", [mine]),
        )
        here = within(table, "this", "keys")
        [where] = tables.query(
            f"select {group} as of from {table.sql} this where {here}",
            **parameters(table, "keys", [mine]),
        )
        before = held[0]["key"] if held else None
        if before is not None and before not in elected:
            return [DefaultChange(name, where["of"], loads(before), loads(before))]
        recorder = Recorder(tables.connection, run)
        if before is not None:
            why = "the default that it replaced was restored"
            change = setting(tables, name, {flag.flag: "false"}, why)
            write(tables, recorder, [(name, [loads(before)], change)])
        change = setting(tables, name, {flag.flag: "true"}, "it was the default")
        write(tables, recorder, [(name, [mine], change)])
        old = None if before is None else loads(before)
        return [DefaultChange(name, where["of"], old, mine)]


class _Undone(Exception):
    """Rolls an attempt back."""


def execute(
    tables: Tables, run: int, *, partial: bool, actor: str | None, dry_run: bool
) -> Document:
    """Restore the rows of a deletion in the caller's transaction.

    Raises NotFound for an unknown run, UsageError for one that is no deletion or was
    undone, and, unless `partial`, Refused if a row cannot be restored.
    """
    undone = journal.get_run(tables.connection, run)
    if undone["kind"] != "delete":
        raise UsageError(
            f"run {run} is no `sexton delete`: it is `{printable(undone['kind'])}`",
            hint=f"sexton undo {run}",
        )
    by = undone["undone_by"]
    if by and not journal.get_run(tables.connection, by)["undone_by"]:
        raise UsageError(
            f"run {run} was undone by run {undone['undone_by']}", hint="sexton history"
        )
    restoration = _Restoration(tables, undone, actor)
    document = None
    while document is None:
        try:
            with tables.connection.transaction():
                document, wrong = restoration.attempt(dry_run=dry_run)
                if wrong and not partial and not dry_run:
                    _refuse(document)
                if wrong:
                    raise _Undone
                if dry_run:
                    raise _Undone
        except _Undone:
            if wrong:
                restoration.skipped |= wrong
                document = None
    if not document.changes and not dry_run:
        _refuse(document)
    return document


def _refuse(document: Document) -> None:
    whys: dict[tuple[str, str], list[Key]] = {}
    for left in document.left:
        whys.setdefault((left.table, left.why), []).append(left.key)
    raise Refused(
        "\n  ".join(
            f"{printable(table)} {few(keys)} cannot be restored: {why}"
            for (table, why), keys in whys.items()
        )
        + "; nothing was changed",
        hint="to restore the others: --partial",
    )
