"""`sexton repair`, `apply` and `show`."""

import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sexton.cli import completion
from sexton.cli.options import FORMAT, show, writing
from sexton.errors import DONE, FINDINGS

if TYPE_CHECKING:
    from sexton.check import Check
    from sexton.database import Connection
    from sexton.repair.batches import Progress
    from sexton.repair.plan import Options, Plan

ACTOR = click.option(
    "--actor",
    envvar="SEXTON_ACTOR",
    metavar="NAME",
    help="Who does it, for the journal. [default: SEXTON_ACTOR, or the system's user]",
)
ALLOW_TRIGGERS = click.option(
    "--allow-triggers",
    "allow",
    flag_value="triggers",
    multiple=True,
    help="Change rows of tables whose triggers then fire.",
)
ALLOW_CASCADES = click.option(
    "--allow-cascades",
    "allow",
    flag_value="cascades",
    multiple=True,
    help="Let foreign keys pass a change on to other tables.",
)
CHECKS = click.option(
    "--checks",
    "folders",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    metavar="DIR",
    help="Know your own checks in DIR as well; may be given again.",
)
YES = click.option("--yes", is_flag=True, help="Do not ask before data is lost.")
PLAN_FILE = click.Path(path_type=Path, dir_okay=False)


def _allowing(command: Callable[..., Any]) -> Callable[..., Any]:
    for option, limit, text in (
        ("--allow-revision", "revision", "Go on at a revision that Sexton does not know."),
        (
            "--allow-empty-parent",
            "empty-parent",
            "Believe that a table that others refer to is empty.",
        ),
    ):
        command = click.option(option, "allow", flag_value=limit, multiple=True, help=text)(
            command
        )
    return ALLOW_TRIGGERS(ALLOW_CASCADES(command))


@click.command()
@click.argument("names", nargs=-1, metavar="[CHECK]...", shell_complete=completion.checks)
@CHECKS
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
@YES
@ACTOR
@writing
def repair(
    connection: "Connection",
    names: tuple[str, ...],
    folders: tuple[Path, ...],
    out: Path | None,
    make: bool,
    unsafe: tuple[str, ...],
    max_rows: int,
    max_fraction: float,
    allow: tuple[str, ...],
    yes: bool,
    actor: str | None,
    style: str,
) -> int:
    """Print what would be repaired, and why; or do it.

    Without --apply nothing is written to the database. Exit 1 while there is something
    to do or to decide, 5 when a safety limit refuses.

    \b
    Examples:
      sexton repair
      sexton repair 'default_*' --out plan.json
      sexton repair orphaned_default --apply
    """
    from sexton.audit.selection import select_checks
    from sexton.repair.plan import Options

    if make and out:
        raise click.UsageError("--out saves a plan and --apply makes it: choose one.")
    known = known_with(folders)
    select_checks(unsafe, known)
    named = tuple(check.name for check in select_checks(names, known)) if names else ()
    options = Options(named, unsafe, tuple(sorted(set(allow))), max_rows, max_fraction)
    plan = _plan(connection, named, options, known)
    if make:
        return _make(connection, plan, known, actor, style, yes)
    if out:
        _save(plan, out, style)
    _show_plan(plan, out, style)
    return FINDINGS if plan.actions or plan.skipped else DONE


def known_with(folders: Iterable[Path]) -> "Mapping[str, Check]":
    """The project's checks, and those of folders."""
    from sexton.audit.own_checks import known_checks

    return known_checks(tuple(folders))


def _plan(
    connection: "Connection",
    names: tuple[str, ...],
    options: "Options",
    known: "Mapping[str, Check]",
) -> "Plan":
    from sexton.audit.selection import select_checks
    from sexton.database import snapshot
    from sexton.repair.planner import plan_repair

    selected = select_checks(names, known)
    with snapshot(connection):
        return plan_repair(connection, selected, options, known=known)


def _save(plan: "Plan", out: Path, style: str) -> None:
    """Save a plan that nothing stands against; else show it all the same, and refuse."""
    from sexton.repair.planfile import write_plan
    from sexton.repair.safety import refuse_unlifted
    from sexton.reporters import repairs

    if style == "text" and not all(limit.lifted for limit in plan.limits):
        click.echo(repairs.plan(plan))
    refuse_unlifted(plan.limits)
    write_plan(plan, out)


def _show_plan(plan: "Plan", out: Path | None, style: str) -> None:
    from sexton.reporters import repairs

    if style == "json":
        # Line by line, in the layout of a plan file: what is printed can be applied.
        for line in plan.lines():
            click.echo(line, nl=False)
    else:
        click.echo(repairs.planned(plan, shlex.quote(str(out)) if out else None))


def _confirm(plan: "Plan", known: "Mapping[str, Check]", yes: bool) -> None:
    losing = {a.check: known[a.check].data_loss for a in plan.actions if a.check in known}
    ask((f"{check} loses {loss}" for check, loss in losing.items() if loss), yes)


def ask(losses: Iterable[str], yes: bool) -> None:
    """Say what will be lost; on a terminal, ask whether to go on."""
    from sexton.text.printable import printable

    said = [printable(loss) for loss in losses]
    for loss in said:
        click.echo(f"warning: {loss}", err=True)
    if said and not yes and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("Go on?", abort=True, err=True)


def _make(
    connection: "Connection",
    plan: "Plan",
    known: "Mapping[str, Check]",
    actor: str | None,
    style: str,
    yes: bool,
) -> int:
    from sexton.repair.apply import apply_plan
    from sexton.reporters import repairs

    _confirm(plan, known, yes)
    made = apply_plan(
        connection,
        plan,
        actor=actor,
        progress=progress(),
        known=known,
        again="sexton repair --apply plans what is left anew; sexton history says which "
        "run to undo instead",
    )
    document = {**plan.document(), "applied": made.document()}

    def rendered() -> str:
        return "\n".join(
            filter(None, (repairs.plan(plan), repairs.applied(made, plan.skipped)))
        )

    show(style, document, rendered)
    return FINDINGS if plan.skipped else DONE


@click.command()
@click.argument("plan", type=PLAN_FILE, metavar="PLAN.json")
@CHECKS
@YES
@ACTOR
@writing
def apply(
    connection: "Connection",
    plan: Path,
    folders: tuple[Path, ...],
    yes: bool,
    actor: str | None,
    style: str,
) -> int:
    """Make a saved plan, exactly, or nothing.

    A plan that was interrupted goes on; one that was made before is not made again. It
    can do no more than the repairs of the checks that it names.

    \b
    Examples:
      sexton apply plan.json
      sexton apply plan.json --yes --actor 'night shift'
    """
    from sexton.repair.apply import apply_plan
    from sexton.repair.planfile import read_plan
    from sexton.reporters import repairs

    read, known = read_plan(plan), known_with(folders)
    _confirm(read, known, yes)
    made = apply_plan(connection, read, actor=actor, progress=progress(), known=known)
    show(style, made.document(), lambda: repairs.applied(made, read.skipped))
    return DONE


@click.command("show")
@click.argument("plan", type=PLAN_FILE, metavar="PLAN.json")
@FORMAT
def show_plan(plan: Path, style: str) -> int:
    """Show a saved plan: a summary by check, then its rows. Needs no database.

    \b
    Examples:
      sexton show plan.json
      sexton show plan.json --format json
    """
    from sexton.repair.planfile import read_plan

    _show_plan(read_plan(plan), plan, style)
    return DONE


def progress() -> "Progress | None":
    """A counter on stderr for a person who waits; nothing in a pipe."""
    if not sys.stderr.isatty():
        return None

    def report(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        click.echo(f"\r{done:,} of {total:,} rows{end}", nl=False, err=True)

    return report
