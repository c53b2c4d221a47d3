"""Deleting rows of declared tables, and what follows from it."""

from collections.abc import Sequence
from dataclasses import replace

import psycopg

from sexton import journal
from sexton.catalog.tables import Table
from sexton.errors import Refused
from sexton.journal.images import key_object
from sexton.journal.recorder import Change as Written
from sexton.journal.recorder import Recorder, deleting, updating
from sexton.rows import plan as planning
from sexton.rows.plan import Election, Plan, Step
from sexton.rows.result import Change, Document, Key
from sexton.rows.tables import Tables, few, frozen, parameters, within
from sexton.text.exact import loads
from sexton.text.printable import printable

TOGETHER = 30  # changes in one statement


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
    roots = next((step.keys for step in plan.steps if step.level == 0), [])
    run = journal.begin_run(
        tables.connection,
        "delete",
        actor=actor,
        options={"table": table, "keys": roots, "reason": reason},
    )
    recorder = Recorder(tables.connection, run)
    for group in plan.groups:
        emptied = [step for step in group if step.kind == "null"]
        others = [step for step in group if step.kind != "null"]
        parts = [[part] for step in emptied for part in _by_flags(plan, step)]
        parts += [others[n : n + TOGETHER] for n in range(0, len(others), TOGETHER)]
        for steps in parts:
            write(
                tables,
                recorder,
                [
                    (step.table, step.keys, _change(tables, step, n))
                    for n, step in enumerate(steps)
                ],
            )
    for elected in plan.elections:
        if elected.change.after is not None and not _moved(plan, elected):
            was = elected.change.before
            why = "its group has no other default"
            if was:
                why = f"it becomes the default instead of {few([was])}"
            change = setting(tables, elected.name, {elected.flag.flag: "true"}, why)
            write(tables, recorder, [(elected.name, [elected.change.after], change)])
    _require_deleted(tables, plan)
    return document(plan, run=run, dry_run=False)


def _moved(plan: Plan, elected: Election) -> bool:
    """Whether an elected row had the flag before, in a group that it left."""
    return any(
        step.table == elected.name
        and step.emptied in elected.flag.per
        and frozen(elected.change.after or {}) in map(frozen, step.keys)
        for step in plan.steps
    )


def _by_flags(plan: Plan, step: Step) -> list[Step]:
    """A step that empties rows, by the flags that they keep in their new group."""
    kept: dict[str, set[str]] = {}
    for elected in plan.elections:
        if elected.name == step.table and elected.change.after is not None:
            names = kept.setdefault(frozen(elected.change.after), set())
            names.add(elected.flag.flag)
    found: dict[tuple[str, ...], list[Key]] = {}
    for key in step.keys:
        found.setdefault(tuple(sorted(kept.get(frozen(key), ()))), []).append(key)
    return [replace(step, keys=keys, kept=flags) for flags, keys in found.items()]


def _require_deleted(tables: Tables, plan: Plan) -> None:
    """Insist that rows are deleted, whatever triggers have made of them."""
    names = list(dict.fromkeys(step.table for step in plan.steps))
    try:
        with tables.write_settings(names):
            tables.settle(names)
    except psycopg.IntegrityError as error:
        raise forbidden(error, names[0]) from None
    for name in names:
        table = tables.tables[name]
        soft, gone = plan.keys(name, "soft_delete"), plan.keys(name, "delete")
        still = tables.query(
            f"""
            select {key_object(table.key, "this")} as key from {tables.live(name)} this
            where {within(table, "this", "soft")} or {within(table, "this", "gone")}
            """,  # noqa: S608
            **parameters(table, "soft", soft),
            **parameters(table, "gone", gone),
        )
        if still:
            raise Refused(
                f"{len(still):,} rows of {printable(name)} are not deleted afterwards "
                f"({few([row['key'] for row in still])}): a trigger changed them again, or "
                "what `set` assigns leaves them live; nothing was changed",
                hint=f"see the triggers of {printable(name)}, and its [[soft_delete]]",
            )


def document(plan: Plan, *, run: int | None, dry_run: bool) -> Document:
    """The document of a plan."""
    defaults = [election.change for election in plan.elections]
    elected = [
        Change(one.table, "default", 1, [one.after])
        for one in defaults
        if one.after is not None
    ]
    return Document(
        run=run,
        dry_run=dry_run,
        table=plan.table,
        changes=[*plan.changes(), *elected],
        defaults=defaults,
        refused=plan.refused,
    )


def _change(tables: Tables, step: Step, at: int) -> Written:
    """The change of a step, the one `at` that place of its statement."""
    if step.kind == "delete":
        table = tables.tables[step.table]
        return deleting(
            table,
            within(table, "this", f"keys {at}"),
            why=step.why,
            returning=_returned(table),
        )
    return setting(tables, step.table, planning.written(tables, step), step.why, at)


def setting(
    tables: Tables, name: str, values: dict[str, str], why: str, at: int = 0
) -> Written:
    """What sets columns of rows, and the time of their last update, for `write`."""
    table, stamp = tables.tables[name], tables.project.updated_at
    if stamp in table.columns and stamp not in values:
        values = values | {stamp: "pg_catalog.now()"}
    return updating(
        table,
        values,
        within(table, "this", f"keys {at}"),
        why=why,
        returning=_returned(table),
    )


def _returned(table: Table) -> dict[str, str]:
    key = f"{key_object(table.key, 'this')}::pg_catalog.text"
    return {"key": key, "done": "true"}


def write(
    tables: Tables,
    recorder: Recorder,
    changes: Sequence[tuple[str, Sequence[Key], Written]],
) -> None:
    """Make changes of just these rows of tables, in one statement.

    Raises Refused if one of them is not written.
    """
    names = [name for name, _, _ in changes]
    statement = recorder.compose([change for _, _, change in changes])
    given = []
    for at, (name, keys, change) in enumerate(changes):
        values = parameters(tables.tables[name], f"keys {at}", keys)
        given.append((change.given(change.why, **values), len(keys)))
    try:
        with tables.write_settings(names):
            found = recorder.send(statement, given).rows
    except psycopg.IntegrityError as error:
        raise forbidden(error, names[0]) from None
    for (name, keys, _), rows in zip(changes, found, strict=True):
        written = {frozen(loads(row["key"])) for row in rows}
        missing = [key for key in keys if frozen(key) not in written]
        if missing:
            why = "a trigger or a rule keeps them as they are"
            if any(None in key.values() for key in missing):
                why = "a row with NULL in its key cannot be found by it"
            raise Refused(
                f"{len(missing):,} rows of {printable(name)} were not written "
                f"({few(missing)}): {why}; nothing was changed",
                hint=f"see the triggers and the key of {printable(name)}",
            )


def forbidden(error: psycopg.IntegrityError, name: str) -> Refused:
    """The refusal of what a constraint forbids."""
    return Refused(
        f"{printable(name)}: {printable(str(error.diag.message_primary))}; nothing was "
        "changed",
        hint=f"see the constraint {printable(error.diag.constraint_name or '')} of "
        f"{printable(error.diag.table_name or name)}",
    )
