"""Deleting rows of declared tables, and what follows from it."""

from collections.abc import Sequence

import psycopg

from sexton import journal
from sexton.catalog.tables import Table
from sexton.errors import Refused
from sexton.journal.images import column, key_object
from sexton.journal.recorder import Change as Written
from sexton.journal.recorder import Recorder, deleting, updating
from sexton.rows import plan as planning
from sexton.rows.plan import Plan, Step
from sexton.rows.result import Change, Document, Key
from sexton.rows.tables import Tables, exact, few, frozen, parameters, within
from sexton.text.printable import printable


def preview(tables: Tables, table: str, keys: Sequence[Key]) -> Document:
    """What `execute` would do now. Reads only; raises what `execute` raises but Refused."""
    return document(planning.plan(tables, table, keys, lock=False), run=None, dry_run=True)


def execute(
    tables: Tables, table: str, keys: Sequence[Key], reason: str | None, actor: str | None
) -> Document:
    """Delete rows in the caller's transaction.

    Raises Refused if a row refers to one of them and may not go, or if a constraint or a
    trigger keeps a row as it is.
    """
    plan = planning.plan(tables, table, keys, lock=True)
    if plan.refused:
        raise Refused(
            "\n  ".join(
                f"{table}: {len(refusal.keys):,} rows of {refusal.table} are left behind "
                f"({few(refusal.keys)}): {refusal.why}"
                for refusal in plan.refused
            )
            + "; nothing was changed",
            hint="delete them first, or declare on_delete for the reference",
        )
    run = journal.begin_run(
        tables.connection,
        "delete",
        actor=actor,
        options={"table": table, "keys": list(keys), "reason": reason},
    )
    recorder = Recorder(tables.connection, run)
    for step in plan.steps:
        write(tables, recorder, step.table, step.keys, _change(tables, step))
    for elected in plan.defaults:
        if elected.after is not None:
            why = f"it becomes the default instead of {few([elected.before or {}])}"
            for name, flag in tables.declared.defaults():
                if name == elected.table:
                    change = setting(tables, name, {flag.flag: "true"}, why)
                    write(tables, recorder, name, [elected.after], change)
    return document(plan, run=run, dry_run=False)


def document(plan: Plan, *, run: int | None, dry_run: bool) -> Document:
    """The document of a plan."""
    elected = [
        Change(one.table, "default", 1, [one.after])
        for one in plan.defaults
        if one.after is not None
    ]
    return Document(
        run=run,
        dry_run=dry_run,
        table=plan.table,
        changes=[*plan.changes(), *elected],
        defaults=plan.defaults,
        refused=plan.refused,
    )


def _change(tables: Tables, step: Step) -> Written:
    if step.kind == "delete":
        table = tables.tables[step.table]
        return deleting(
            table,
            within(table, "this", "keys"),
            why=step.why,
            returning=_returned(table),
        )
    if step.kind == "null":
        assert step.ref is not None
        return setting(tables, step.table, {step.ref.source.columns[-1]: "null"}, step.why)
    soft = tables.declared.soft(step.table)
    assert soft is not None
    row = "(select this.*) as sexton_row"  # bare columns mean the row before
    marks = {
        name: f"(select {value.replace('%', '%%')} from {row})"  # noqa: S608
        for name, value in soft.marks.items()
    }
    for name, flag in tables.declared.defaults():
        if name == step.table and not flag.flag_on_deleted:
            flagged = f"this.{column(flag.flag)}"
            marks[flag.flag] = f"case when {flagged} then false else {flagged} end"
    return setting(tables, step.table, marks, step.why)


def setting(tables: Tables, name: str, values: dict[str, str], why: str) -> Written:
    """What sets columns of rows, and the time of their last update."""
    table, stamp = tables.tables[name], tables.project.updated_at
    if stamp in table.columns and stamp not in values:
        values = values | {stamp: "pg_catalog.now()"}
    return updating(
        table,
        values,
        within(table, "this", "keys"),
        why=why,
        returning=_returned(table),
    )


def _returned(table: Table) -> dict[str, str]:
    return {"key": f"{key_object(table.key, 'this')}::pg_catalog.text"}


def write(
    tables: Tables, recorder: Recorder, name: str, keys: Sequence[Key], change: Written
) -> None:
    """Make a change of just these rows; raises Refused if one of them is not written."""
    table = tables.tables[name]
    given = change.given(change.why, **parameters(table, "keys", keys))
    try:
        with tables.write_settings(name):
            written = {frozen(exact(row["key"])) for row in recorder.make(given)}
    except psycopg.IntegrityError as error:
        raise Refused(
            f"{printable(name)}: {printable(str(error.diag.message_primary))}; nothing was "
            "changed",
            hint=f"see the constraint {printable(error.diag.constraint_name or '')} of "
            f"{printable(error.diag.table_name or name)}",
        ) from None
    if missing := [key for key in keys if frozen(key) not in written]:
        raise Refused(
            f"{len(missing):,} rows of {printable(name)} were not written "
            f"({few(missing)}): a trigger or a rule keeps them as they are; nothing was "
            "changed",
            hint=f"see the triggers of {printable(name)}",
        )
