"""`sexton repair`, `apply`, `undo` and `history`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sexton.cli.options import reading, show, writing
from sexton.errors import DONE, FINDINGS

if TYPE_CHECKING:
    from sexton.database import Connection
    from sexton.repair.apply import Progress
    from sexton.repair.plan import Options, Plan

ACTOR = click.option(
    "--actor", metavar="NAME", help="Who does it, for the journal. [default: system user]"
)
ALLOW_TRIGGERS = click.option(
    "--allow-triggers",
    "allow",
    flag_value="triggers",
    multiple=True,
    help="Change rows of tables whose triggers then fire.",
)
PLAN_FILE = click.Path(path_type=Path, dir_okay=False)


def _allowing(command: Callable[..., Any]) -> Callable[..., Any]:
    for option, guard, text in (
        ("--allow-revision", "revision", "Go on at a revision that Sexton does not know."),
        (
            "--allow-empty-parent",
            "empty-parent",
            "Believe that a table that others refer to is empty.",
        ),
        (
            "--allow-cascades",
            "cascades",
            "Let foreign keys pass a change on to other tables.",
        ),
    ):
        command = click.option(option, "allow", flag_value=guard, multiple=True, help=text)(
            command
        )
    return ALLOW_TRIGGERS(command)


@click.command()
@click.argument("names", nargs=-1, metavar="[CHECK]...")
@click.option("--out", type=PLAN_FILE, metavar="PLAN.json", help="Save the plan.")
@click.option("--apply", "make", is_flag=True, help="Make the repairs now.")
@click.option(
    "--unsafe",
    multiple=True,
    metavar="CHECK",
    help="Let the repair of this check lose what `sexton explain` says it loses.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(0),
    default=1_000,
    show_default=True,
    help="Refuse to change more rows than this.",
)
@click.option(
    "--max-fraction",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Refuse to change more than this part of a table.",
)
@_allowing
@ACTOR
@writing
def repair(
    connection: "Connection",
    names: tuple[str, ...],
    out: Path | None,
    make: bool,
    unsafe: tuple[str, ...],
    max_rows: int,
    max_fraction: float,
    allow: tuple[str, ...],
    actor: str | None,
    style: str,
) -> int:
    """Print what would be repaired, and why; or do it.

    Without --apply nothing is written to the database. Exit 1 while there is something
    to do or to decide, 5 when a guard refuses.
    """
    from sexton.audit.selection import select_checks
    from sexton.repair.plan import Options

    if make and out:
        raise click.UsageError("--out saves a plan and --apply makes it: choose one.")
    select_checks(unsafe)
    options = Options(names, unsafe, tuple(sorted(set(allow))), max_rows, max_fraction)
    if make:
        return _repair_now(connection, names, options, actor, style)
    plan = _plan(connection, names, options)
    if out:
        from sexton.repair.plan import write_plan
        from sexton.repair.safety import refuse_unlifted

        refuse_unlifted(plan.guards)
        write_plan(plan, out)
    _show_plan(plan, out, style)
    return FINDINGS if plan.actions or plan.skipped else DONE


def _plan(connection: "Connection", names: tuple[str, ...], options: "Options") -> "Plan":
    from sexton.audit.selection import select_checks
    from sexton.database import snapshot
    from sexton.repair.planner import plan_repair

    selected = select_checks(names)
    with snapshot(connection):
        return plan_repair(connection, selected, options)


def _show_plan(plan: "Plan", out: Path | None, style: str) -> None:
    from sexton.reporters import repairs

    if style == "json":
        # Line by line, in the layout of a plan file: what is printed can be applied.
        for line in plan.lines():
            click.echo(line, nl=False)
    else:
        click.echo(repairs.planned(plan, str(out) if out else None))


def _repair_now(
    connection: "Connection",
    names: tuple[str, ...],
    options: "Options",
    actor: str | None,
    style: str,
) -> int:
    from sexton.repair.apply import apply_plan
    from sexton.reporters import repairs

    plan = _plan(connection, names, options)
    made = apply_plan(connection, plan, actor=actor, progress=_progress())
    document = {**plan.document(), "applied": made.document()}

    def told() -> str:
        return "\n".join(
            filter(None, (repairs.plan(plan), repairs.made(made, plan.skipped)))
        )

    show(style, document, told)
    return FINDINGS if plan.skipped else DONE


@click.command()
@click.argument("plan", type=PLAN_FILE, metavar="PLAN.json")
@ACTOR
@writing
def apply(connection: "Connection", plan: Path, actor: str | None, style: str) -> int:
    """Make a saved plan, exactly, or nothing.

    A plan that was broken off goes on; one that was made before is not made again.
    """
    from sexton.repair.apply import apply_plan
    from sexton.repair.plan import read_plan
    from sexton.reporters import repairs

    read = read_plan(plan)
    made = apply_plan(connection, read, actor=actor, progress=_progress())
    show(style, made.document(), lambda: repairs.made(made, read.skipped))
    return DONE


@click.command()
@click.argument("run", type=click.IntRange(1))
@ALLOW_TRIGGERS
@ACTOR
@writing
def undo(
    connection: "Connection",
    run: int,
    allow: tuple[str, ...],
    actor: str | None,
    style: str,
) -> int:
    """Take RUN back, where its rows are still as it left them.

    Rows that moved since are left alone and listed; then the exit code is 1. An undo is
    a run itself, and can be undone.
    """
    from sexton.repair.undo import undo_run
    from sexton.reporters import repairs

    undone = undo_run(connection, run, actor=actor, allow=allow, progress=_progress())
    show(style, undone.document(), lambda: repairs.undone(undone))
    return FINDINGS if undone.left else DONE


@click.command()
@click.argument("run", type=click.IntRange(1), required=False)
@reading
def history(connection: "Connection", run: int | None, style: str) -> int:
    """Show what was done, when and by whom; RUN row by row."""
    from sexton import journal
    from sexton.database import snapshot
    from sexton.reporters import repairs

    with snapshot(connection):
        if run is None:
            runs = journal.list_runs(connection)
            show(style, {"runs": runs}, lambda: repairs.runs(runs))
        else:
            found = journal.get_run(connection, run)
            changes = journal.list_changes(connection, run)
            document = {"runs": [found], "changes": changes}
            show(style, document, lambda: repairs.run(found, changes))
    return DONE


def _progress() -> "Progress | None":
    """A counter on stderr for a person who waits; nothing in a pipe."""
    if not sys.stderr.isatty():
        return None

    def progress(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        click.echo(f"\r{done:,} of {total:,} rows{end}", nl=False, err=True)

    return progress
