"""`sexton guard`: a real foreign key for live model configs alone."""

from typing import TYPE_CHECKING, Any

import click

from sexton.cli.options import reading, show
from sexton.cli.schema import moving
from sexton.errors import DONE, FINDINGS, REFUSED

if TYPE_CHECKING:
    from sexton.database import Connection
    from sexton.ddl.waiting import Options


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
    from sexton.upgrade import preview as plan

    document = plan.plan_guard(connection, verb, options)
    show(style, document, lambda: plan.text(document))
    if any(step["refused"] for step in document["steps"]):
        return REFUSED
    return DONE if all(step["done"] for step in document["steps"]) else FINDINGS


def _sql(connection: "Connection", verb: str, options: "Options", style: str) -> int:
    from sexton.upgrade import preview as plan
    from sexton.upgrade import script

    chosen = plan.guard_moves(connection, verb)
    lines = script.write(chosen, verb, f"guard {verb}", options)
    show(style, {"sql": lines}, lambda: lines)
    return DONE
