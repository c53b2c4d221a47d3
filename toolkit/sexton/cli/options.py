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


def _with_connection(command: Command, *, read_only: bool) -> Command:
    @URL
    @FORMAT
    @functools.wraps(command)
    def wrapped(url: str | None, **arguments: Any) -> Any:
        from sexton.database import database

        name = f"sexton {click.get_current_context().info_name}"
        with database(url, name=name, read_only=read_only) as connection:
            say_place(connection, arguments["style"])
            return command(connection, **arguments)

    return wrapped


def say_place(connection: Any, style: str) -> None:
    """Tell a person which database this is, and as whom; documents say it themselves."""
    from sexton.database import place

    if style == "text":
        click.echo(f"sexton: connected to {place(connection)}", err=True)


def show(style: str, document: Any, text: Callable[[], str]) -> None:
    """Print a document as JSON, or the text that `text` makes."""
    if style == "json":
        from sexton.reporters import json

        click.echo(json.render(document))
    elif said := text():
        click.echo(said)
