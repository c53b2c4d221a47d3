"""The steps that set a guard and take it away; opt-in, beside the revisions.

Nobody needs to know of the markers: a trigger keeps them, and a CHECK ties them to the
condition where the trigger was not asked. No step rewrites a table, and no scan holds a
lock that readers or writers mind.

Everything is called `sexton_...` and lies beside the tables, not in the schema `sexton`:
the tables' own writes need it, so it must survive what happens to that schema.
"""

from sexton.catalog.relations import literal, quoted
from sexton.ddl.steps import Step, index_label
from sexton.guard.definition import Guard
from sexton.guard.side_steps import (
    escaped,
    for_each,
    listed,
    side_steps,
    step,
    sweep,
    validate,
)
from sexton.guard.spec import DEFERRABLE


def add_steps(guard: Guard) -> list[Step]:
    """What makes a guard, one lock at a time; the key last, then valid."""
    return [
        *side_steps(guard.parent),
        _index(guard),
        *side_steps(guard.child),
        *_key(guard),
    ]


def _index(guard: Guard) -> Step:
    parent = guard.parent
    return step(
        title=f"build the unique index on {parent.table.name} that the key refers to",
        lock="share update exclusive",
        tables=[parent.table.called],
        outside_transaction=True,
        scans=[parent.table.called],
        refuse=[
            (
                guard.duplicates,
                f"two rows of {escaped(parent.table.name)} that count have the key "
                "{example}",
            )
        ],
        done=guard.index_there,
        sql=[
            # What a failed build left behind is invalid, and has the name.
            "drop index concurrently if exists "
            + parent.table.in_same_schema(guard.names.target_index),
            f"create unique index concurrently {quoted(guard.names.target_index)} "
            f"on {parent.table.sql} ({listed(parent.key)})",
        ],
    )


def _key(guard: Guard) -> list[Step]:
    child, parent = guard.child, guard.parent
    clause = DEFERRABLE[guard.spec.deferrable or "no"]
    hint = "soft-delete those rows, or give them a parent, then run the same command again"
    if guard.spec.check:
        hint = f"sexton repair {guard.spec.check}, then run the same command again"
    return [
        step(
            title="drop a key that bears the name, and is another",
            lock="access exclusive",
            tables=both(guard),
            done=f"""
                select exists (select {guard.keys}) or not exists (
                    select from pg_catalog.pg_constraint
                    where conrelid = {child.table.regclass}::pg_catalog.oid
                      and conname = {literal(guard.names.key)}
                )
            """,
            sql=[
                f"alter table {child.table.sql} "
                f"drop constraint if exists {quoted(guard.names.key)}"
            ],
        ),
        step(
            title=f"add the key for live rows, {clause or 'not deferrable'}, not yet valid",
            lock="share row exclusive",
            tables=both(guard),
            warn=[_no_index(guard)],
            cured_by=index_label(child.table.schema, child.table.name, guard.spec.columns),
            done=f"select exists (select {guard.keys})",
            sql=[
                # No `drop ... if exists` here: it locks readers out even where nothing is.
                f"alter table {child.table.sql} "
                f"add constraint {quoted(guard.names.key)} "
                f"foreign key ({listed(child.key)}) "
                f"references {parent.table.sql} ({listed(parent.key)}) {clause} not valid",
                f"comment on constraint {quoted(guard.names.key)} on {child.table.sql} "
                f"is {literal(_comment(guard))}",
            ],
        ),
        step(
            title=f"make the key for live rows {clause or 'not deferrable'}",
            lock="access exclusive",
            tables=both(guard),
            done=guard.deferral_there,
            sql=[
                for_each(
                    child, guard.keys, f"alter constraint %I {clause or 'not deferrable'}"
                )
            ],
        ),
        step(
            title="validate the key for live rows",
            lock="share update exclusive",
            tables=[child.table.called],
            outside_transaction=True,
            scans=[child.table.called],
            reads=[parent.table.called],
            refuse=[
                (
                    guard.orphans,
                    f"{{n}} {{are_orphans}}: there is no {escaped(guard.wanted)} "
                    "{examples}",
                )
            ],
            hint=hint,
            done=guard.key_valid,
            sql=[validate(child, guard.keys)],
        ),
    ]


def _comment(guard: Guard) -> str:
    """What a developer who meets its name in an error should know."""
    child, parent = guard.child, guard.parent
    mine = f"{child.table.name} with {child.condition}" if child.mark else child.table.name
    theirs = (
        f"{parent.table.name} with {parent.condition}" if parent.mark else parent.table.name
    )
    pairs = ", ".join(
        f"{a} = {b}" for a, b in zip(child.columns, parent.columns, strict=True)
    )
    return (
        f"Each row of {mine} needs a row of {theirs} ({pairs}). "
        "Error 23503 with this name: either "
        f"such a {child.table.name} row was written without one, or a "
        f"{parent.table.name} row that such rows still refer to was deleted"
        + (", no longer meets its condition" if parent.mark else "")
        + " or changed its key. Rows that do not meet the condition are not checked. "
        "Set by sexton guard add."
    )


def _no_index(guard: Guard) -> tuple[str, str]:
    return (
        guard.unindexed,
        f"no index of {escaped(guard.child.table.name)} finds its rows by "
        f"{escaped(', '.join(guard.spec.columns))}: each deletion of a parent will read "
        "the whole table",
    )


def remove_steps(guard: Guard) -> list[Step]:
    """What takes a guard away, in one transaction."""
    child, parent = guard.child, guard.parent
    looks = f"sexton audit {guard.spec.check} looks" if guard.spec.check else "none looks"
    return [
        step(
            title=f"take the guard of {guard.spec.label} away: key, triggers and columns",
            lock="access exclusive",
            tables=both(guard),
            warn=[
                (
                    f"select true as bare where not exists (select {guard.plain_keys})",
                    escaped(
                        f"the database will no longer promise that a live row of "
                        f"{child.table.name} has a row of {parent.table.name}; {looks}"
                    ),
                )
            ],
            done=f"select not ({guard.anything})",
            sql=removal(guard),
        )
    ]


def removal(guard: Guard) -> list[str]:
    """What drops a guard's keys, and the markers that no other guard uses."""
    child, parent = guard.child, guard.parent
    return [
        for_each(child, guard.ours, "drop constraint %I"),
        f"alter table {child.table.sql} "
        f"drop constraint if exists {quoted(guard.names.key)}",
        sweep(child.table),
        *([sweep(parent.table)] if parent.table.sql != child.table.sql else []),
    ]


def both(guard: Guard) -> list[str]:
    """The names of both tables, as a step takes them."""
    return list(dict.fromkeys([guard.parent.table.called, guard.child.table.called]))
