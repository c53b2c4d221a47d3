"""The steps that set a guard and take it away; opt-in, beside the revisions.

Nobody needs to know of the markers: a trigger keeps them, and a CHECK ties them to the
condition where the trigger was not asked. No step rewrites a table, and no scan holds a
lock that readers or writers mind.

Everything is called `sexton_...` and lies beside the tables, not in the schema `sexton`:
the tables' own writes need it, so it must survive what happens to that schema.
"""

from sexton.catalog.relations import literal, quoted
from sexton.ddl.steps import Step
from sexton.guard.definition import Guard
from sexton.guard.side_steps import drop_trigger, listed, side_steps, step, validate


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
                f"two rows of {parent.table.name} that count have the key {{example}}",
            )
        ],
        done=guard.index_there,
        sql=[
            # What a failed build left behind is invalid, and in the way.
            "drop index concurrently if exists "
            + parent.table.in_same_schema(guard.names.target_index),
            f"create unique index concurrently {quoted(guard.names.target_index)} "
            f"on {parent.table.sql} ({listed(parent.key)})",
        ],
    )


def _key(guard: Guard) -> list[Step]:
    child, parent = guard.child, guard.parent
    hint = "end those rows, or give them a parent, then run the same command again"
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
            title="add the key for live rows, not yet valid",
            lock="share row exclusive",
            tables=both(guard),
            warn=[_no_index(guard)],
            done=f"select exists (select {guard.keys})",
            sql=[
                # No `drop ... if exists` here: it locks readers out even where nothing is.
                f"alter table {child.table.sql} "
                f"add constraint {quoted(guard.names.key)} "
                f"foreign key ({listed(child.key)}) "
                f"references {parent.table.sql} ({listed(parent.key)}) not valid",
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
                    f"{{n}} {{are_orphans}}: there is no {guard.wanted} {{examples}}",
                )
            ],
            hint=hint,
            done=guard.key_valid,
            sql=[validate(child, guard.keys)],
        ),
    ]


def _no_index(guard: Guard) -> tuple[str, str]:
    return (
        guard.unindexed,
        f"no index of {guard.child.table.name} finds its rows by "
        f"{', '.join(guard.spec.columns)}: each deletion of a parent will read the whole "
        "table",
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
                    f"the database will no longer promise that a live row of "
                    f"{child.table.name} has a row of {parent.table.name}; {looks}",
                )
            ],
            done=f"select not ({guard.anything})",
            sql=removal(guard),
        )
    ]


def removal(guard: Guard) -> list[str]:
    """What drops every part of a guard by its name."""
    child, parent = guard.child, guard.parent
    return [
        *drop_trigger(child),
        *drop_trigger(parent),
        # With their columns go the keys, CHECKs and indexes over them.
        f"alter table {child.table.sql} "
        f"drop constraint if exists {quoted(guard.names.key)}, "
        f"drop constraint if exists {quoted(child.check)}, "
        f"drop column if exists {child.marker}",
        f"alter table {parent.table.sql} "
        f"drop constraint if exists {quoted(parent.check)}, "
        f"drop column if exists {parent.marker}",
    ]


def both(guard: Guard) -> list[str]:
    """The names of both tables, as a step takes them."""
    return list(dict.fromkeys([guard.parent.table.called, guard.child.table.called]))
