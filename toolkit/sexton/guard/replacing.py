"""Setting a guard where one of another condition stands, and taking guards away.

The new key is made beside the old one, then takes its place. Until then both hold, each by
its own definition: a write that both allow never fails, and one that either refuses is
refused, so that at no instant does the guard hold less than before.
"""

from dataclasses import replace

from sexton.catalog.relations import literal, quoted
from sexton.database import Connection, rows
from sexton.ddl.steps import Step
from sexton.guard.definition import Guard
from sexton.guard.predicate import in_pg_catalog
from sexton.guard.selection import detached
from sexton.guard.side import unused
from sexton.guard.side_steps import for_each, step, sweep
from sexton.guard.status import true
from sexton.guard.steps import add_steps, both, remove_steps


def set_steps(connection: Connection, guard: Guard) -> list[Step]:
    """What sets a guard here, whatever stands in its place."""
    with in_pg_catalog(connection):
        guard = with_deferrability(connection, guard)
        old = true(connection, f"select exists (select {guard.old})")
        begun = true(connection, f"select not ({_nothing_begun(guard)})")
    cleared = [_clear(guard)] if begun else []
    if not old:
        return [*cleared, *add_steps(guard)]
    beside = replace(guard, names=replace(guard.names, key=f"{guard.names.key[:59]}_new"))
    return [*cleared, *add_steps(beside), _move_in(guard, beside)]


def clear_steps(connection: Connection, guard: Guard) -> list[Step]:
    """What takes a guard away, from tables that were detached from its child as well."""
    with in_pg_catalog(connection):
        left = detached(connection, guard)
    return [made for one in (*left, guard) for made in remove_steps(one)]


def with_deferrability(connection: Connection, guard: Guard) -> Guard:
    """The guard, its key checked when the key is that it replaces, unless it says."""
    if guard.spec.deferrable is not None:
        return guard
    found = rows(
        connection,
        f"""
        select k.condeferrable as deferrable, k.condeferred as deferred
        from (select k.*, 1 as turn {guard.ours}
              union all select k.*, 2 as turn {guard.plain_keys}) as k
        order by k.turn, k.condeferred desc, k.condeferrable desc limit 1
        """,
    )
    said = "no"
    for row in found:
        if row["deferrable"]:
            said = "deferred" if row["deferred"] else "immediate"
    return replace(guard, spec=replace(guard.spec, deferrable=said))


def _nothing_begun(guard: Guard) -> str:
    """Whether no marker is left that an interrupted change of guards made."""
    wanted = (
        (guard.child.table, guard.child.marker),
        (guard.parent.table, guard.parent.marker),
    )
    kept = {
        table.sql: ", ".join(literal(name) for one, name in wanted if one.sql == table.sql)
        for table, _ in wanted
    }
    return "select " + " and ".join(
        f"not exists (select {unused(table)} and m.attname not in ({kept[table.sql]}))"
        for table, _ in wanted
    )


def _clear(guard: Guard) -> Step:
    sides = {side.table.sql: side.table for side in (guard.parent, guard.child)}
    keep = (guard.child.marker, guard.parent.marker)
    return step(
        title="take away what an interrupted change of guards left on "
        + " and ".join(table.name for table in sides.values()),
        lock="access exclusive",
        tables=both(guard),
        done=_nothing_begun(guard),
        sql=[sweep(table, keep) for table in sides.values()],
    )


def _move_in(guard: Guard, beside: Guard) -> Step:
    child = guard.child.table
    return step(
        title=f"put it in the place of the guard of {guard.spec.label} that stands",
        lock="access exclusive",
        tables=both(guard),
        done=f"select not exists (select {guard.old}) and not exists ("
        f"select {guard.keys} and k.conname = {literal(beside.names.key)})",
        sql=[
            for_each(guard.child, guard.old, "drop constraint %I"),
            f"alter table {child.sql} rename constraint "
            f"{quoted(beside.names.key)} to {quoted(guard.names.key)}",
            sweep(guard.parent.table),
            *([sweep(child)] if child.sql != guard.parent.table.sql else []),
        ],
    )
