"""An incident, as a script: live models without a provider after a partial restore.

    DATABASE_URL=postgresql://… python docs/incident.py [--yes] [--actor NAME]

Without --yes it only says what it would do. With it, it repairs the orphans and the
default, looks whether chats can go on, and takes everything back if they cannot.
"""

import argparse
import sys
from pathlib import Path

from sexton.database import database, scalar, snapshot
from sexton.errors import SextonError
from sexton.project import all_checks
from sexton.repair.apply import apply_plan
from sexton.repair.plan import Options
from sexton.repair.planfile import read_plan, write_plan
from sexton.repair.planner import plan_repair
from sexton.repair.safety import refuse_unlifted
from sexton.repair.undo import undo_run

CHECKS = ("model_without_provider", "orphaned_default", "default_missing")
PLAN = Path("incident-plan.json")


def main() -> int:
    """Repair, audit, and undo if need be; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yes", action="store_true")
    parser.add_argument("--actor")
    arguments = parser.parse_args()
    try:
        with database(name="incident script") as connection:
            # No more than the rows that the incident's report speaks of.
            options = Options(named=CHECKS, max_rows=50)
            with snapshot(connection):
                selected = [all_checks()[name] for name in CHECKS]
                plan = plan_repair(connection, selected, options)
            for action in plan.actions:
                print(action.check, action.key, action.change, action.why)
            for skip in plan.skipped:
                print("to decide:", skip.check, skip.key, skip.reason)
            refuse_unlifted(plan.limits)
            write_plan(plan, PLAN)
            if not arguments.yes:
                print(f"{len(plan.actions)} rows would change; the plan is in {PLAN}")
                return 1 if plan.actions else 0

            # A plan read from its file is the plan that was looked at, or is refused.
            made = apply_plan(connection, read_plan(PLAN), actor=arguments.actor)
            print(f"{made.rows} rows changed in run {made.run}")
            usable = scalar(
                connection,
                """
                select count(*)
                from chat_model_configs c join chat_providers p using (provider)
                where c.is_default and not c.deleted and c.enabled and p.enabled
                """,
            )
            if made.run is not None and usable != 1:
                undone = undo_run(connection, made.run, actor=arguments.actor)
                print(f"no usable default came of it: undone in run {undone.run}")
                return 1
    except SextonError as error:
        print(f"{error.message}\n  next: {error.hint}", file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
