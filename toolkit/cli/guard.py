"""`sexton guard`: a real foreign key for live model configs alone."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.options import FORMAT, URL, reading, show
from toolkit.cli.schema import Duration
from toolkit.errors import DONE, FINDINGS, REFUSED

if TYPE_CHECKING:
    from migrations.locks import Options
    from toolkit.database import Connection


@click.group()
def guard() -> None:
    """Let the database refuse a live model config without a provider.

    Opt-in: a foreign key for live rows alone. Tombstones may name whoever they like.
    """


def _changing(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        FORMAT,
        URL,
        click.option(
            "--deadline",
            type=Duration(),
            default="10min",
            show_default=True,
            help="How long each step may take to get its lock, or to end.",
        ),
        click.option(
            "--max-stall",
            type=Duration(),
            default="1s",
            show_default=True,
            help="How long others may have to wait because of one try for a lock.",
        ),
        click.option("--plan", is_flag=True, help="Say what would happen; write nothing."),
    ):
        command = option(command)
    return command


@guard.command()
@_changing
def add(**arguments: Any) -> int:
    """Set the guard, one short lock at a time; no table is rewritten.

    Killed anywhere, it goes on from there when it is run again. Refused while live model
    configs are orphans. Exit 1 with --plan where there is something to do.
    """
    return _change("add", **arguments)


@guard.command()
@_changing
def remove(**arguments: Any) -> int:
    """Take the guard away, in milliseconds, and leave nothing behind.

    Run it before a later migration of the product that drops the provider table.
    """
    return _change("remove", **arguments)


@guard.command()
@reading
def status(connection: "Connection", style: str) -> int:
    """Say whether the guard is set, and which of its parts are there.

    Exit 1 where some are there and others are not.
    """
    from toolkit import guard
    from toolkit.reporters import guard as reporter

    document = guard.status(connection)
    show(style, document, lambda: reporter.status(document))
    return FINDINGS if document["guard"] == guard.INCOMPLETE else DONE


def _change(
    verb: str,
    *,
    url: str | None,
    style: str,
    plan: bool,
    max_stall: float,
    deadline: float,
) -> int:
    from migrations.locks import Options
    from toolkit import guard
    from toolkit.database import database

    options = Options(max_stall=max_stall, deadline=deadline, say=_say)
    with database(url, name=f"sexton guard {verb}", read_only=plan) as connection:
        if plan:
            return _plan(connection, verb, style)
        return _do(connection, guard, verb, options, style)


def _plan(connection: "Connection", verb: str, style: str) -> int:
    from toolkit import guard
    from toolkit.reporters import guard as reporter

    which = guard.parts.ADD if verb == "add" else guard.parts.REMOVE
    found = guard.plan(connection, which)
    document = {"guard": guard.status(connection)["guard"], "steps": found}
    show(style, document, lambda: reporter.plan(document))
    if any(step["refused"] for step in found):
        return REFUSED
    return FINDINGS if found else DONE


def _do(
    connection: "Connection", guard: Any, verb: str, options: "Options", style: str
) -> int:
    from toolkit.reporters import guard as reporter

    made = (guard.add if verb == "add" else guard.remove)(connection, options)
    document = {**guard.status(connection), "made": made}
    show(style, document, lambda: reporter.made(document))
    return DONE


def _say(line: str) -> None:
    click.echo(f"  {line}", err=True)
