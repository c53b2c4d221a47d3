"""`sexton upgrade` and `downgrade`."""

import functools
import re
from typing import TYPE_CHECKING, Any

import click

from sexton.cli.options import FORMAT, URL, Command, say_location, show
from sexton.errors import DONE, FINDINGS, NO_CONNECTION, REFUSED

if TYPE_CHECKING:
    from sexton.ddl.options import Options


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Read a time of more than nothing, as 500ms, 2s, 10min or 1h."""
    from sexton.text.durations import GRAMMAR, parse

    if value is None:
        return None
    try:
        found = parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    if not found:
        raise click.BadParameter(f"{value!r} is no time: write {GRAMMAR}", ctx, param)
    return found


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
        from sexton.ddl.options import Options

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


FORCE = click.option(
    "--force",
    is_flag=True,
    help="Go on although parts are not Sexton's own, or others count on what goes.",
)


@click.command()
@click.argument("revision", default="head")
@click.option(
    "--guard",
    is_flag=True,
    help="Set the guard for live rows before the plain key goes: no unprotected instant.",
)
@click.option(
    "--create",
    is_flag=True,
    help="Make the tables in a database that has others already.",
)
@FORCE
@moving
def upgrade(revision: str, guard: bool, create: bool, **arguments: Any) -> int:
    """Change the schema up to REVISION (default: head).

    Of the team's own environment, where the project file names one by `alembic`; REVISION
    is then whatever Alembic takes, as +1 or BRANCH@head.

    Nobody waits for it longer than --max-stall, and killed anywhere it goes on from
    there; what a downgrade that was interrupted left behind is put right. Exit 1 with
    --plan where there is something to do.

    \b
    Examples:
      sexton upgrade --plan
      sexton upgrade --terminate-idle-older-than 5min
      sexton upgrade --guard
    """
    return _move("up", revision, guarded=guard, create=create, **arguments)


class Relative(click.Command):
    """A command that takes -1, as Alembic does, for the revision before."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's, for which it would be an option."""
        back = [word for word in args if re.fullmatch("-[0-9]+", word)]
        rest = [word for word in args if word not in (*back, "--")]
        return super().parse_args(ctx, [*rest, "--", *back] if back else args)


@click.command(cls=Relative)
@click.argument("revision")
@click.option(
    "--tombstones",
    type=click.Choice(["disable"]),
    help="Below 0002, turn tombstones into disabled configs; the way up restores them.",
)
@FORCE
@moving
def downgrade(revision: str, **arguments: Any) -> int:
    """Change the schema back to REVISION, or to base, which drops the tables.

    Everything that any step would refuse is asked before the first one. Of the built-in
    revisions:

    \b
    0003  the provider key is back, with disabled stubs for providers that are gone
    0002  the index of the default counts tombstones too
    0001  no tombstones: refused while there are any, unless --tombstones disable

    \b
    Examples:
      sexton downgrade 0003 --plan
      sexton downgrade 0001 --tombstones disable
    """
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
    force: bool,
    guarded: bool = False,
    create: bool = False,
) -> int:
    from sexton.database import database
    from sexton.errors import UsageError
    from sexton.upgrade import run
    from sexton.upgrade.route import BASE

    if plan and sql:
        raise UsageError("--plan and --sql do not go together")
    name = f"sexton {way}grade" + " --plan" * plan
    read_only = plan or sql
    with (
        database(url, name=name, read_only=read_only) as connection,
    ):
        say_location(connection, style)
        chosen = {"guard": guarded, "create": create, "force": force}
        chosen["tombstones"] = bool(options.choices)
        route = _route(connection, way, revision, chosen)
        if read_only:
            again = f"sexton {way}grade{'' if revision == 'head' else f' {revision}'}"
            again += "".join(f" --{n}" for n in ("guard", "create", "force") if chosen[n])
            say = _plan if plan else _sql
            return say(connection, route, options, style, again)
        before = run.revision(connection, route)
        done = run.walk(connection, route, options)
        after = run.revision(connection, route)
    verb = "applied" if way == "up" else "reverted"
    document = {"from": before, "to": after, verb: done}

    def lines() -> str:
        if not done:
            return f"at {after or BASE} already: nothing to do"
        return "\n".join([*(f"{verb} {move}" for move in done), f"now at {after or BASE}"])

    show(style, document, lines)
    return DONE


def _route(connection: Any, way: str, revision: str, chosen: dict[str, bool]) -> Any:
    """The route, in the team's own environment or through the product's revisions."""
    from sexton.errors import UsageError
    from sexton.project import current
    from sexton.upgrade.own import find_own_route, is_own
    from sexton.upgrade.right_database import require_right_database
    from sexton.upgrade.route import find_route, known, require_fit

    if is_own():
        if foreign := [name for name, given in chosen.items() if given]:
            raise UsageError(
                f"--{foreign[0]} is about the built-in product, not your own revisions",
                hint=f"sexton {way}grade --help",
            )
        return find_own_route(connection, way, revision)
    if not known():
        require_fit(connection)
        from sexton.declarations.environment import own_environment

        own_environment(current())
    route = find_route(connection, way, revision, guarded=chosen["guard"])
    require_right_database(
        connection, route, create=chosen["create"], force=chosen["force"]
    )
    return route


def _plan(connection: Any, route: Any, options: "Options", style: str, command: str) -> int:
    from sexton.upgrade import preview

    document = preview.plan(connection, route, options)
    show(style, document, lambda: preview.text(document, command))
    if document["refused"] and document["steps"]:
        return NO_CONNECTION  # as the command itself
    refused = [step for step in document["steps"] if step["refused"]]
    if any(not step["heal"] for step in refused):
        return REFUSED
    return FINDINGS if document["steps"] or document["drift"] else DONE


def _sql(connection: Any, route: Any, options: "Options", style: str, command: str) -> int:
    from sexton.upgrade.own import OwnRoute, own_script
    from sexton.upgrade.script import script

    if isinstance(route, OwnRoute):
        lines = own_script(connection, route, options)
    else:
        lines = script(connection, route, options, command)
    show(style, {"sql": lines}, lambda: lines)
    return DONE
