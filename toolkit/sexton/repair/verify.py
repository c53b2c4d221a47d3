"""Verify: run the checks of a plan again, and insist that what was repaired is cured."""

from collections.abc import Mapping
from typing import Any

from sexton.catalog.tables import Table
from sexton.check import Check
from sexton.database import Connection
from sexton.errors import RepairIncomplete
from sexton.repair.exact import canonical
from sexton.repair.plan import Plan
from sexton.repair.planner import with_followers
from sexton.repair.simulation import Simulation


def verify(
    connection: Connection,
    plan: Plan,
    known: Mapping[str, Check],
    tables: Mapping[str, Table],
    *,
    run: int | None = None,
) -> dict[str, int]:
    """Run the plan's checks again; return how many findings each has left.

    `tables` are those that the checks read. Raises RepairIncomplete where one of them
    still finds a row that the plan repaired; `run` is the one that then stands.
    """
    simulation = Simulation(connection, tables)  # of nothing: the tables as they are
    repaired = {found.check for found in plan.groups}
    unsolved = {skip.check for skip in plan.skipped}
    left: dict[str, int] = {}
    for check in with_followers((known[name] for name in sorted(repaired)), known):
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
        else:  # what it repaired is no row it finds: the plan left nothing to find
            again = [] if check.name in unsolved else found
        if again:
            kept = f"run {run} stands: sexton undo {run}" if run else "nothing was kept"
            raise RepairIncomplete(
                f"{check.name} still finds {len(again):,} rows that were repaired; {kept}",
                hint=f"look at them: sexton audit {check.name}",
            )
    return left


def _identity(key: dict[str, Any]) -> str:
    return canonical({name: str(value) for name, value in key.items()})


def _found(check: Check, row: dict[str, Any]) -> str:
    return _identity({name: row[name] for name in check.key})
