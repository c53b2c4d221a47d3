"""`sexton delete` and `restore`: the life of a row of a declared table."""

import csv
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from sexton.cli import completion
from sexton.cli.options import show, writing
from sexton.cli.repair import ACTOR, YES
from sexton.cli.undo import RUN
from sexton.errors import DONE, FINDINGS, UsageError

if TYPE_CHECKING:
    from sexton.database import Connection
    from sexton.rows.result import Result

DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Show what would happen; change nothing."
)


@click.command()
@click.argument("table")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", help="Why, for the journal.")
@DRY_RUN
@YES
@ACTOR
@writing
def delete(
    connection: "Connection",
    table: str,
    keys: tuple[str, ...],
    reason: str | None,
    dry_run: bool,
    yes: bool,
    actor: str | None,
    style: str,
) -> int:
    """Delete rows of TABLE, and what on_delete says of the rows that refer to them.

    Soft-deletes them if the project file declares how. One transaction and one run of the
    journal; `sexton restore` brings all of it back. Write a composite key as A,B.

    \b
    Examples:
      sexton delete customers 7 --reason "asked to"
      sexton delete invoices 1,2026-07 1,2026-08 --dry-run
    """
    from sexton import rows

    wanted = [split(key) for key in keys]

    def work(preview: bool) -> "Result":
        return rows.delete(
            connection, table, *wanted, reason=reason, actor=actor, preview=preview
        )

    return preview_or_run(work, "Delete", style, dry_run=dry_run, yes=yes)


@click.command()
@click.argument("table", required=False)
@click.argument("key", required=False)
@click.option(
    "--run", type=RUN, shell_complete=completion.runs, help="Restore all that RUN deleted."
)
@click.option(
    "--partial", is_flag=True, help="Restore what can be restored, and list the rest."
)
@DRY_RUN
@YES
@ACTOR
@writing
def restore(
    connection: "Connection",
    table: str | None,
    key: str | None,
    run: int | None,
    partial: bool,
    dry_run: bool,
    yes: bool,
    actor: str | None,
    style: str,
) -> int:
    """Restore what `sexton delete` deleted: the row TABLE KEY, or all of --run.

    Brings back exactly what that run deleted. Refused if a row was changed since, its
    parent is not live, or another row has taken its unique key. With --partial the exit
    code is 1 if rows are left.

    \b
    Examples:
      sexton restore customers 7
      sexton restore --run 12 --partial
    """
    from sexton import rows

    if run is None and (table is None or key is None):
        raise UsageError("name a row to restore, or a run", hint="sexton restore --run RUN")
    if run is not None and table is not None:
        raise UsageError("name either a row or a run", hint="sexton restore --run RUN")

    def work(preview: bool) -> "Result":
        return rows.restore(
            connection,
            table,
            None if key is None else split(key),
            run=run,
            partial=partial,
            actor=actor,
            preview=preview,
        )

    return preview_or_run(work, "Restore", style, dry_run=dry_run, yes=yes)


def split(text: str) -> list[str]:
    """A key on the command line, `7` or `A,B` with CSV's quotes; raises UsageError."""
    try:
        [values] = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise UsageError(
            f"the key {text!r} cannot be read", hint='write a composite key as A,"B,C"'
        ) from None
    return values


def preview_or_run(
    work: Callable[[bool], "Result"], verb: str, style: str, *, dry_run: bool, yes: bool
) -> int:
    """Show what would happen; unless it is a dry run, ask a person, and do it."""
    from sexton.reporters import rows as report

    asked = sys.stdin.isatty() and sys.stderr.isatty() and style == "text" and not yes
    if dry_run or asked:
        seen = work(True)
        if dry_run:
            show(style, document(seen), lambda: report.text(seen.document))
            return DONE
        click.echo(report.text(seen.document), err=True)
        if not seen.document.refused:
            click.confirm(f"{verb} these rows?", abort=True, err=True)
    done = work(False)
    show(style, document(done), lambda: report.text(done.document))
    return FINDINGS if done.document.left else DONE


def document(result: "Result") -> Any:
    """The document as JSON has it."""
    import msgspec

    return msgspec.to_builtins(result.document, enc_hook=str)
