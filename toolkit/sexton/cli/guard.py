"""`sexton guard`: a real foreign key for live model configs alone."""

from typing import TYPE_CHECKING, Any

import click

from sexton.cli.options import reading, show
from sexton.cli.schema import moving
from sexton.errors import DONE, FINDINGS, REFUSED

if TYPE_CHECKING:
    from sexton.database import Connection
    from sexton.ddl.options import Options


@click.group()
def guard() -> None:
    """Let the database refuse a live model config without a provider.

    Opt-in: a foreign key for live rows alone. Tombstones may name whoever they like.
    """


@guard.command()
@moving
def add(**arguments: Any) -> int:
    """Set the guard, one short lock at a time; no table is rewritten.

    Killed anywhere, it goes on from there when it is run again. Refused while live model
    configs are orphans. Exit 1 with --plan where there is something to do.
    """
    return _change("add", **arguments)


@guard.command()
@moving
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
    from sexton.guard import guard
    from sexton.reporters import guard as reporter

    document = guard.status(connection)
    show(style, document, lambda: reporter.status(document))
    return FINDINGS if document["guard"] == guard.INCOMPLETE else DONE


def _change(
    verb: str, *, url: str | None, style: str, plan: bool, sql: bool, options: "Options"
) -> int:
    from sexton.database import database
    from sexton.errors import UsageError
    from sexton.guard import guard
    from sexton.reporters import guard as reporter

    if plan and sql:
        raise UsageError("--plan and --sql do not go together")
    looking = plan or sql
    with database(url, name=f"sexton guard {verb}", read_only=looking) as connection:
        if plan:
            return _plan(connection, verb, options, style)
        if sql:
            return _sql(connection, verb, options, style)
        made = (guard.add if verb == "add" else guard.remove)(connection, options)
        document = {**guard.status(connection), "made": made}
    show(style, document, lambda: reporter.made(document))
    return DONE


def _plan(connection: "Connection", verb: str, options: "Options", style: str) -> int:
    from sexton.guard import guard
    from sexton.upgrade import preview, route

    guard.require(connection, verb)
    document = preview.plan(connection, route.guard_route(connection, verb), options)
    show(style, document, lambda: preview.text(document, f"sexton guard {verb}"))
    if any(step["refused"] for step in document["steps"]):
        return REFUSED
    return DONE if all(step["done"] for step in document["steps"]) else FINDINGS


def _sql(connection: "Connection", verb: str, options: "Options", style: str) -> int:
    from sexton.guard import guard
    from sexton.upgrade import route
    from sexton.upgrade.script import script

    guard.require(connection, verb)
    found = route.guard_route(connection, verb)
    lines = script(connection, found, options, f"guard {verb}")
    show(style, {"sql": lines}, lambda: lines)
    return DONE
