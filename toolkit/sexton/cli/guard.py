"""`sexton guard`: a real foreign key for live rows alone."""

import functools
from typing import TYPE_CHECKING, Any

import click

from sexton.cli.options import Command, reading, say_location, show
from sexton.cli.schema import moving
from sexton.errors import DONE, FINDINGS, NO_CONNECTION, REFUSED

if TYPE_CHECKING:
    from sexton.database import Connection
    from sexton.ddl.options import Options
    from sexton.guard.definition import Guard
    from sexton.guard.spec import GuardSpec

CHILDREN = click.argument("references", nargs=-1, metavar="[CHILD.COLUMN [PARENT.COLUMN]]")


@click.group()
def guard() -> None:
    """Let the database refuse a live row without a (live) parent.

    Opt-in: a foreign key for live rows alone. A soft-deleted row may name whoever it
    likes. Without arguments a command is about the guards that the project declares.
    Several columns are written TABLE(A, B).
    """


def changing(command: Command) -> Command:
    """Give a command what upgrades have, the references, and `specs` to change."""

    @CHILDREN
    @moving
    @functools.wraps(command)
    def wrapped(*, url: str | None, **arguments: Any) -> int:
        code: int = command(url=url, **arguments)
        return code

    return wrapped


@guard.command()
@click.option(
    "--live",
    metavar="SQL",
    help="Which children count, over their own columns; '' for all. [default: not deleted]",
)
@click.option(
    "--parent-live",
    metavar="SQL",
    help="Which parents count, over their own columns. [default: all]",
)
@click.option(
    "--deferrable/--not-deferrable",
    default=None,
    help="When the key is checked. [default: as the plain key over the same columns]",
)
@click.option(
    "--initially",
    type=click.Choice(["deferred", "immediate"]),
    help="With --deferrable: at commit, or at each statement. [default: deferred]",
)
@changing
def add(
    live: str | None,
    parent_live: str | None,
    deferrable: bool | None,
    initially: str | None,
    **arguments: Any,
) -> int:
    """Set the guard, one short lock at a time; no table is rewritten.

    Killed anywhere, it goes on from there when it is run again. Refused while live rows
    are orphans. Exit 1 with --plan where there is something to do.

    \b
    Examples:
      sexton guard add --plan
      sexton guard add invoices.customer_id customers.id --live 'not paid'
    """
    if initially and not deferrable:
        from sexton.errors import UsageError

        raise UsageError(
            f"--initially {initially} says how a deferrable key begins",
            hint=f"write --deferrable --initially {initially}",
        )
    said = None
    if deferrable is not None:
        said = (initially or "deferred") if deferrable else "no"
    conditions = {"live": live, "parent_live": parent_live, "deferrable": said}
    given = {name: sql for name, sql in conditions.items() if sql is not None}
    return _change("add", conditions=given, **arguments)


@guard.command()
@changing
def remove(**arguments: Any) -> int:
    """Take the guard away, in milliseconds, and leave nothing behind.

    Run it before a migration that drops the parent's table, or a column of the key. What
    other guards of the parent share stays until the last of them is removed. It also
    cleans up tables that were detached from the child; name one of those to clean up
    it alone.

    \b
    Examples:
      sexton guard remove
      sexton guard remove invoices.customer_id
    """
    return _change("remove", conditions={}, **arguments)


@guard.command()
@CHILDREN
@reading
def status(connection: "Connection", references: tuple[str, ...], style: str) -> int:
    """Say whether the guards are set, and which of their parts are there.

    Guards that no project declares are listed too, and tables that keep parts of a guard
    since they were detached from its child. Exit 1 if a guard is incomplete or a detached
    table keeps parts of it.

    \b
    Examples:
      sexton guard status
      sexton guard status invoices.customer_id
    """
    from sexton.guard import status as guards
    from sexton.guard.selection import select
    from sexton.reporters import guard as reporter

    document = guards.status(connection, *select(connection, references))
    show(style, document, lambda: reporter.status(document))
    incomplete = any(
        one["guard"] == guards.INCOMPLETE or one["detached"] for one in document["guards"]
    )
    return FINDINGS if incomplete else DONE


def _change(
    verb: str,
    *,
    references: tuple[str, ...],
    conditions: dict[str, str],
    url: str | None,
    style: str,
    plan: bool,
    sql: bool,
    options: "Options",
) -> int:
    from sexton.database import database
    from sexton.errors import UsageError
    from sexton.guard import change
    from sexton.guard.binding import bind, loosely
    from sexton.guard.selection import select
    from sexton.guard.status import NONE, SET, status
    from sexton.journal.schema_changes import recorded
    from sexton.reporters import guard as reporter

    if plan and sql:
        raise UsageError("--plan and --sql do not go together")
    read_only = plan or sql
    with database(url, name=f"sexton guard {verb}", read_only=read_only) as connection:
        say_location(connection, style)
        specs = select(connection, references, conditions, verb)
        if plan:
            return _plan(connection, verb, specs, options, style)
        if sql:
            return _sql(connection, verb, specs, options, style)
        adds = verb == "add"
        guards = [bind(connection, s) if adds else loosely(connection, s) for s in specs]
        work = change.add if adds else change.remove
        made: list[str] = []
        before, after = status(connection, *guards), dict[str, Any]()

        def changed() -> dict[str, Any]:
            after.update(status(connection, *guards))
            if after == before:
                return {}
            return {"references": list(references), **conditions, "steps": made}

        idle = before["guard"] == (SET if adds else NONE)
        with recorded(connection, f"guard {verb}", changed, options.say, idle=idle):
            made += work(connection, *guards, options=options)
        document = {**(after or status(connection, *guards)), "made": made}
    show(style, document, lambda: reporter.made(document))
    return DONE


def _plan(
    connection: "Connection",
    verb: str,
    specs: "list[GuardSpec | Guard]",
    options: "Options",
    style: str,
) -> int:
    from sexton.upgrade import preview, route

    found = route.guard_route(connection, verb, specs)
    document = preview.plan(connection, found, options)
    show(style, document, lambda: preview.text(document, f"sexton guard {verb}"))
    if document["refused"] and not all(step["done"] for step in document["steps"]):
        return NO_CONNECTION  # as the command itself
    if any(step["refused"] for step in document["steps"]):
        return REFUSED
    return DONE if all(step["done"] for step in document["steps"]) else FINDINGS


def _sql(
    connection: "Connection",
    verb: str,
    specs: "list[GuardSpec | Guard]",
    options: "Options",
    style: str,
) -> int:
    from sexton.upgrade import route
    from sexton.upgrade.script import script

    found = route.guard_route(connection, verb, specs)
    lines = script(connection, found, options, f"guard {verb}")
    show(style, {"sql": lines}, lambda: lines)
    return DONE
