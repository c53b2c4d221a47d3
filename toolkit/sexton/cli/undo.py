"""`sexton undo` and `history`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sexton.cli import completion
from sexton.cli.options import reading, show, writing
from sexton.cli.repair import (
    ACTOR,
    ALLOW_CASCADES,
    ALLOW_TRIGGERS,
    CHECKS,
    YES,
    ask,
    known_with,
    progress,
)
from sexton.errors import DONE, FINDINGS

if TYPE_CHECKING:
    from sexton.database import Connection

ALLOW_WRITER = click.option(
    "--allow-writer",
    "allow",
    flag_value="writer",
    multiple=True,
    help="Undo a run of another role that is gone, or may not make its changes.",
)

ALLOW_TABLE = click.option(
    "--allow-table",
    "allow",
    flag_value="table",
    multiple=True,
    help="Restore rows of a table that is not the one the run changed, but has its name.",
)

RUN = click.IntRange(1, 2**63 - 1)
RUN.name = "run's number"  # as a message calls what it refuses


@click.command()
@click.argument("run", type=RUN, shell_complete=completion.runs)
@ALLOW_TRIGGERS
@ALLOW_CASCADES
@ALLOW_WRITER
@ALLOW_TABLE
@CHECKS
@YES
@ACTOR
@writing
def undo(
    connection: "Connection",
    run: int,
    allow: tuple[str, ...],
    folders: tuple[Path, ...],
    yes: bool,
    actor: str | None,
    style: str,
) -> int:
    """Take RUN back, where its rows are still as it left them.

    `sexton history` lists the runs. Rows that moved since are left alone and listed; then,
    or where something was never in the journal, the exit code is 1. An undo is a run
    itself, and can be undone.

    \b
    Examples:
      sexton undo 7
      sexton undo 7 --allow-triggers --yes
    """
    from sexton import journal
    from sexton.repair.undo import lost_by, undo_run
    from sexton.reporters import repairs

    found = journal.get_run(connection, run)
    if not found["undone_by"]:
        ask((f"{loss}: it does not come back" for loss in lost_by(connection, found)), yes)
    undone = undo_run(
        connection,
        run,
        actor=actor,
        allow=allow,
        progress=progress(),
        known=known_with(folders),
    )
    show(style, undone.document(), lambda: repairs.undone(undone))
    return FINDINGS if undone.left or undone.lost else DONE


@click.command()
@click.argument("run", type=RUN, required=False, shell_complete=completion.runs)
@reading
def history(connection: "Connection", run: int | None, style: str) -> int:
    """Show what was done, when and by whom; RUN row by row.

    \b
    Examples:
      sexton history
      sexton history 7 --format json
    """
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
