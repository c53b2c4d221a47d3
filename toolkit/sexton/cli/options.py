"""What commands share: the database, the format, and how to print."""

import functools
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]

URL = click.option(
    "--url",
    metavar="URL",
    help="The database; embedded:DIR runs a server in DIR. [default: DATABASE_URL, PG*]",
)
FORMAT = click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people, or one JSON document on stdout.",
)


def reading(command: Command) -> Command:
    """Give a command `--url`, `--format` and a read-only `connection`."""
    return _with_connection(command, read_only=True)


def writing(command: Command) -> Command:
    """Give a command `--url`, `--format` and a `connection`."""
    return _with_connection(command, read_only=False)


ACTOR = click.option(
    "--actor",
    metavar="WHO",
    help="Who does it: a user's id or name goes into updated_by, any name into the "
    "journal. [default: the operating system's user]",
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


def _with_connection(command: Command, *, read_only: bool) -> Command:
    @URL
    @FORMAT
    @functools.wraps(command)
    def wrapped(url: str | None, **arguments: Any) -> Any:
        from sexton.database import database

        name = f"sexton {click.get_current_context().info_name}"
        with database(url, name=name, read_only=read_only) as connection:
            return command(connection, **arguments)

    return wrapped


def deed(
    connection: Any,
    preview: Callable[[], Any],
    act: Callable[[Any], Any],
    told: Callable[..., str],
    *,
    dry_run: bool,
    style: str,
) -> None:
    """Preview an act in a snapshot; unless it is a dry run, do it; say what it does.

    The preview does the counting, which may take long, before anything is locked. `told`
    makes the text of either.
    """
    from sexton.database import snapshot, transact

    with snapshot(connection):
        seen = preview()
    effect = seen if dry_run else transact(connection, lambda: act(seen))
    show(style, effect.document(), lambda: told(effect, done=not dry_run))
    if not dry_run:
        tell_caches()


def tell_caches() -> None:
    """Remind of the product's server, which has not heard of the change."""
    click.echo(
        "sexton: the product's caches live 10 s; wait that long before you look there",
        err=True,
    )


def show(style: str, document: Any, text: Callable[[], str]) -> None:
    """Print a document as JSON, or the text that `text` makes."""
    if style == "json":
        from sexton.reporters import json

        click.echo(json.render(document))
    elif said := text():
        click.echo(said)
