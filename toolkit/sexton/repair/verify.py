"""Verify: run the checks of a plan again, and insist that what was repaired is cured."""

from collections.abc import Mapping
from typing import Any

from sexton.catalog.tables import Table
from sexton.catalog.triggers import named
from sexton.check import Check
from sexton.database import Connection
from sexton.errors import Refused, RepairIncomplete
from sexton.repair.following import asked_for, with_followers
from sexton.repair.plan import Plan
from sexton.repair.simulation import Simulation
from sexton.text.exact import canonical
from sexton.text.printable import printable

Orphans = Mapping[str, set[str]]  # by check, what tells its findings apart


def verify(
    connection: Connection,
    plan: Plan,
    known: Mapping[str, Check],
    tables: Mapping[str, Table],
    before: Orphans,
    *,
    run: int | None = None,
) -> dict[str, int]:
    """Run the plan's checks again; return how many findings each has left.

    `tables` are those that the checks read, `before` is what `find_orphans` found before
    the first change. Raises RepairIncomplete if a check still finds a row that the plan
    repaired, and Refused if rows have come since it was made that it leaves without a
    parent; `run` is the one that then stands.
    """
    simulation = Simulation(connection, tables)  # of nothing: the tables as they are
    repaired = {found.check for found in plan.groups}
    unsolved = {skip.check for skip in plan.skipped}
    selected = [known[name] for name in sorted(repaired)]
    asked = asked_for(selected, known)
    kept = f"run {run} stands: sexton undo {run}" if run else "nothing was kept"
    left: dict[str, int] = {}
    for check in with_followers(selected, known):
        found = [] if simulation.absent(check) else simulation.find(check)
        if not found:
            continue
        left[check.name] = len(found)
        own = {group.table for group in plan.groups if group.check == check.name}
        if check.key and own == {check.table}:
            cured = {
                _identity(action.key)
                for action in plan.actions
                if action.check == check.name
            }
            again = [row for row in found if _found(check, row) in cured]
        elif check.name in asked:
            # What it repaired is no row it finds: the plan left nothing to find.
            again = [] if check.name in unsolved else found
        else:
            again = []
        if again:
            raise RepairIncomplete(
                f"{check.name} still finds {len(again):,} rows that were repaired; {kept}",
                hint=f"look at them: sexton audit {check.name}",
            )
        if check.name in unsolved:
            continue
        new = [
            (check.table, {name: row[name] for name in check.key})
            for row in _orphaned(plan, check, found)
            if _found(check, row) not in before.get(check.name, ())
        ]
        if new:
            raise Refused(
                f"rows refer to {printable(check.parent or 'rows')} that the plan repairs, "
                f"and came after it was made: {named(new)}; {kept}",
                hint="make a new plan and look at it again: sexton repair",
            )
    return left


def find_orphans(
    connection: Connection,
    plan: Plan,
    known: Mapping[str, Check],
    tables: Mapping[str, Table],
) -> Orphans:
    """The findings that refer to rows which the plan will change. Reads only."""
    simulation = Simulation(connection, tables)
    touched = {group.table for group in plan.groups}
    selected = [known[name] for name in sorted({group.check for group in plan.groups})]
    return {
        check.name: {
            _found(check, row) for row in _orphaned(plan, check, simulation.find(check))
        }
        for check in with_followers(selected, known)
        if check.reference
        and check.reference.parent in touched
        and not simulation.absent(check)
    }


def _orphaned(
    plan: Plan, check: Check, found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Of findings, those that refer to a row that the plan changes, as far as keys tell."""
    ref = check.reference
    if ref is None or ref.parent not in {group.table for group in plan.groups}:
        return []
    names = sorted(ref.parent_keys)
    changed = {
        _identity(action.key)
        for action in plan.actions
        if action.table == ref.parent and sorted(action.key) == names
    }
    pairs = list(zip(ref.parent_keys, ref.columns, strict=True))
    return [
        row
        for row in found
        if all(column in row for _, column in pairs)
        and _identity({key: row[column] for key, column in pairs}) in changed
    ]


def _identity(key: dict[str, Any]) -> str:
    return canonical({name: str(value) for name, value in key.items()})


def _found(check: Check, row: dict[str, Any]) -> str:
    return _identity({name: row[name] for name in check.key})
