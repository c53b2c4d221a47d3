"""`sexton status`, `upgrade`, `downgrade` and `adopt`."""

import functools
import re
from typing import TYPE_CHECKING, Any

import click

from sexton.cli.options import FORMAT, URL, Command, reading, show
from sexton.errors import DONE, FINDINGS, NO_CONNECTION, REFUSED

if TYPE_CHECKING:
    from sexton.ddl.waiting import Options

UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Read a time as PostgreSQL writes it: 500ms, 2s, 10min, 1h; bare, it is seconds."""
    if value is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|m|h)?\s*", value)
    if not found or not float(found[1]):
        raise click.BadParameter(
            f"{value!r} is no time: write 500ms, 2s, 10min or 1h", ctx, param
        )
    return float(found[1]) * UNITS[found[2] or ""]


def moving(command: Command) -> Command:
    """Give a command what `upgrade` and `downgrade` share, and an `Options`."""

    @click.option("--plan", is_flag=True, help="Say what would happen; write nothing.")
    @click.option("--sql", is_flag=True, help="Print a script for psql; write nothing.")
    @click.option(
        "--max-stall",
        callback=seconds,
        metavar="TIME",
        default="1s",
        show_default=True,
        help="How long others may have to wait because of one try for a lock.",
    )
    @click.option(
        "--deadline",
        callback=seconds,
        metavar="TIME",
        default="10min",
        show_default=True,
        help="How long each step may take to get its lock, or to end beside the others.",
    )
    @click.option(
        "--terminate-idle-older-than",
        callback=seconds,
        metavar="TIME",
        help="End sessions in the way that have been idle in a transaction for so long.",
    )
    @click.option(
        "--show-queries", is_flag=True, help="Print the queries of those in the way."
    )
    @URL
    @FORMAT
    @functools.wraps(command)
    def wrapped(
        max_stall: float,
        deadline: float,
        terminate_idle_older_than: float | None,
        show_queries: bool,
        tombstones: str | None = None,
        **arguments: Any,
    ) -> int:
        from sexton.ddl.waiting import Options

        options = Options(
            max_stall=max_stall,
            deadline=deadline,
            terminate_idle_older_than=terminate_idle_older_than,
            show_queries=show_queries,
            choices=frozenset({f"tombstones={tombstones}"} if tombstones else ()),
            say=lambda line: click.echo(f"  {line}", err=True),
        )
        code: int = command(options=options, **arguments)
        return code

    return wrapped


@click.command()
@reading
def status(connection: Any, style: str) -> int:
    """Revision, drift, counts, and the default.

    Exit 1 where the schema has drifted from its revision.
    """
    from sexton import schema
    from sexton.chat.status import status
    from sexton.reporters import text
    from sexton.upgrade.drift import drift
    from sexton.upgrade.run import head

    document = {
        "revision": schema.visible_revision(connection),
        "head": head(),
        "drift": drift(connection),
        **status(connection),
    }
    show(style, document, lambda: text.status(document))
    return FINDINGS if document["drift"] else DONE


@click.command()
@click.argument("revision", default="head")
@click.option(
    "--guard",
    is_flag=True,
    help="Set the guard for live rows before the plain key goes: no unprotected instant.",
)
@moving
def upgrade(revision: str, **arguments: Any) -> int:
    """Change the schema up to REVISION (default: head).

    Nobody waits for it longer than --max-stall, and killed anywhere it goes on from
    there. Exit 1 with --plan where there is something to do.
    """
    return _move("up", revision, **arguments)


@click.command()
@click.argument("revision")
@click.option(
    "--tombstones",
    type=click.Choice(["disable"]),
    help="Below 0002, turn tombstones into disabled configs; the way up restores them.",
)
@moving
def downgrade(revision: str, **arguments: Any) -> int:
    """Change the schema back to REVISION, or to base."""
    return _move("down", revision, **arguments)


def _move(
    way: str,
    revision: str,
    *,
    url: str | None,
    style: str,
    plan: bool,
    sql: bool,
    options: "Options",
    guard: bool = False,
) -> int:
    from sexton import schema
    from sexton.database import address_of, database
    from sexton.errors import UsageError
    from sexton.upgrade import run as upgrade

    if plan and sql:
        raise UsageError("--plan and --sql do not go together")
    if plan or sql:
        with database(url, name=f"sexton {way}grade --plan", read_only=True) as looking:
            say = _plan if plan else _sql
            return say(looking, way, revision, options, style, guard)
    verb = "made" if way == "up" else "undone"
    with address_of(url) as address, database(address) as connection:
        before = schema.revision(connection)
        if way == "up":
            steps = upgrade.upgrade(connection, address, revision, options, guarded=guard)
        else:
            steps = upgrade.downgrade(connection, address, revision, options)
        after = schema.revision(connection)
    document = {"from": before, "to": after, verb: steps}

    def told() -> str:
        if not steps:
            return f"at {after or 'base'} already: nothing to do"
        return "\n".join(
            [*(f"{verb} {step}" for step in steps), f"now at {after or 'base'}"]
        )

    show(style, document, told)
    return DONE


def _plan(
    connection: Any, way: str, revision: str, options: "Options", style: str, guard: bool
) -> int:
    from sexton.upgrade import preview as plan

    document = plan.plan(connection, way, revision, options, guarded=guard)
    show(style, document, lambda: plan.text(document))
    if any(step["refused"] for step in document["steps"]):
        return REFUSED
    return FINDINGS if document["steps"] else DONE


def _sql(
    connection: Any, way: str, revision: str, options: "Options", style: str, guard: bool
) -> int:
    from sexton.upgrade import script

    lines = script.script(connection, way, revision, options, guarded=guard)
    show(style, {"sql": lines}, lambda: lines)
    return DONE


@click.command()
@click.option("--apply", is_flag=True, help="Record the revision in the database.")
@URL
@FORMAT
def adopt(apply: bool, url: str | None, style: str) -> int:
    """Recognise a database that Sexton did not make.

    Exit 0 where it is recognised, 4 where not.
    """
    from sexton.database import address_of, database
    from sexton.upgrade import adopt

    with (
        address_of(url) as address,
        database(address, name="sexton adopt", read_only=not apply) as connection,
    ):
        document = adopt.adopt(connection)
        if apply and document["recognised"]:
            document = adopt.stamp(connection, document)
    show(style, document, lambda: adopt.text(document))
    return DONE if document["recognised"] else NO_CONNECTION
