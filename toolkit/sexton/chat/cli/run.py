"""What the product's commands share: who does it, preview or run, what is said after."""

import sys
from collections.abc import Callable
from typing import Any

import click

from sexton.cli.options import Command, show, writing

ACTOR = click.option(
    "--actor",
    envvar="SEXTON_ACTOR",
    metavar="WHO",
    help="Who does it: a user's id or name goes into updated_by, any name into the "
    "journal. [default: SEXTON_ACTOR, or the system's user]",
)
NO_JOURNAL = click.option(
    "--no-journal",
    "recorded",
    flag_value=False,
    default=True,
    help="Keep no record of it; for a role that may not write the schema sexton.",
)


def acting(command: Command) -> Command:
    """Give a command what `writing` gives, `--actor` and `--no-journal`."""
    return writing(ACTOR(NO_JOURNAL(command)))


def preview_or_run(
    connection: Any,
    operation: Any,
    text: Callable[..., str],
    *,
    dry_run: bool,
    style: str,
    ask: bool = False,
    **who: Any,
) -> None:
    """Preview an operation in a snapshot; unless it is a dry run, do it; say what it does.

    The preview does the counting, which may take long, before anything is locked. `text`
    renders either. With `ask`, a person at a terminal is asked first.
    """
    from sexton.chat.operation import preview, run

    seen = preview(connection, operation)
    if dry_run:
        show(style, seen.document(), lambda: text(seen, done=False))
        return
    if ask and style == "text" and _a_person():
        click.echo(text(seen, done=False), err=True)
        click.confirm("Do it?", abort=True, err=True)
    done = run(connection, operation, seen=seen, **who)
    show(style, done.document(), lambda: text(done, done=True))
    if done.run is not None:
        click.echo(f"sexton: run {done.run}; to undo it: sexton undo {done.run}", err=True)
    tell_caches()


def _a_person() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def change(
    connection: Any, style: str, work: Callable[[], Any], text: Callable[[Any], str]
) -> None:
    """Make a change in a transaction, and say what came of it."""
    from sexton.chat.operation import retried
    from sexton.text.printable import printable

    made = retried(connection, work)
    show(style, made, lambda: printable(text(made)))
    tell_caches()


def tell_caches() -> None:
    """Remind of the product's server, which has not heard of the change."""
    click.echo(
        "sexton: the product's caches live 10 s; wait that long before you look there",
        err=True,
    )
