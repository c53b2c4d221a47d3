"""`sexton repair`."""

from typing import TYPE_CHECKING

import click

from toolkit.cli.options import show, writing
from toolkit.errors import DONE, FINDINGS

if TYPE_CHECKING:
    from toolkit.database import Connection


@click.command()
@click.argument("names", nargs=-1, metavar="[CHECK]...")
@click.option("--apply", is_flag=True, help="Make the repairs now.")
@writing
def repair(
    connection: "Connection", names: tuple[str, ...], apply: bool, style: str
) -> int:
    """Print what would be repaired, and why; with --apply, do it.

    Everything happens in one transaction, which is kept only if the checks then find
    nothing that should have been cured. Exit 1 while there is something to do.
    """
    from toolkit import repair
    from toolkit.audit import select_checks
    from toolkit.database import snapshot, transact
    from toolkit.locks import lock_election
    from toolkit.reporters import text

    selected = select_checks(names)

    def work() -> "repair.Plan":
        lock_election(connection)
        plan = repair.plan_repair(connection, selected)
        repair.make_repairs(connection, plan)
        return plan

    if apply:
        plan = transact(connection, work)
    else:
        with snapshot(connection):
            plan = repair.plan_repair(connection, selected)
    show(style, plan.document(), lambda: _told(text.plan(plan), plan, apply))
    left = plan.skipped if apply else [*plan.actions, *plan.skipped]
    return FINDINGS if left else DONE


def _told(lines: str, plan, apply: bool) -> str:  # type: ignore[no-untyped-def]
    from toolkit.reporters.text import count

    if not plan.actions and not plan.skipped:
        return "nothing to repair"
    changes = count(len(plan.actions), "row")
    if apply:
        said = f"{changes} changed"
    elif plan.actions:
        said = f"{changes} to change; to do it: sexton repair --apply"
    else:
        said = "nothing that can be repaired without a person's decision"
    return f"{lines}\n{said}"
