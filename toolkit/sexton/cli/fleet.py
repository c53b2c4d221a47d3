"""`sexton fleet`: the same work over many databases."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sexton.cli.options import FORMAT, show
from sexton.text.printable import printable

if TYPE_CHECKING:
    from sexton.fleet.report import FleetReport

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def fleet() -> None:
    """Audit, upgrade or look at many databases, with one report.

    \b
    Examples:
      sexton fleet audit --inventory fleet.toml --match region=eu
      sexton fleet upgrade --inventory fleet.toml --resume state.jsonl
      sexton fleet audit --inventory fleet.toml --shard 1/4 --format json > part1.json
      sexton fleet merge part1.json part2.json part3.json part4.json
    """


def _shard(_: click.Context, __: click.Parameter, value: str) -> tuple[int, int]:
    number, slash, of = value.partition("/")
    if slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
        return int(number), int(of)
    raise click.BadParameter(f"{value!r} is no shard: write 1/4 for the first of four")


def _over_many(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that all of a fleet's have."""

    @click.option(
        "--inventory",
        type=FILE,
        default="fleet.toml",
        show_default=True,
        metavar="FILE",
        help="The targets, waves and limits.",
    )
    @click.option(
        "--match", default="", metavar="LABEL=VALUE,…", help="Only these targets."
    )
    @click.option(
        "--shard",
        callback=_shard,
        default="1/1",
        metavar="I/N",
        help="The part of the targets for one of N machines; `fleet merge` joins reports.",
    )
    @click.option(
        *("-p", "--parallel"),
        type=click.IntRange(1, 512),
        help="How many targets at once, at most. [default: the wave's own number]",
    )
    @click.option(
        "--executor",
        default=None,
        metavar="threads|processes|dask://HOST:PORT",
        help="Where the work is done. [default: threads; processes for upgrade]",
    )
    @click.option(
        "--resume",
        "state",
        type=FILE,
        metavar="FILE",
        help="Keep what is finished in FILE, and do not do it again.",
    )
    @FORMAT
    @functools.wraps(command)
    def wrapped(**arguments: Any) -> Any:
        return command(**arguments)

    return wrapped


@fleet.command()
@click.argument("checks", nargs=-1, metavar="[CHECK]...")
@click.option(
    "--fail-on",
    type=click.Choice(["info", "warning", "error", "never"]),
    default="warning",
    show_default=True,
    help="The least severity that makes a target one with findings.",
)
@_over_many
def audit(checks: tuple[str, ...], fail_on: str, **how: Any) -> int:
    """Run the checks on every target; the worst is reported first.

    Who cannot be reached is incomplete, never clean; then the exit code is 3.

    \b
    Examples:
      sexton fleet audit --match region=eu
      sexton fleet audit 'default_*' --shard 1/4 --format json > part1.json
    """
    return _run("audit", {"checks": checks, "fail_on": fail_on}, **how)


@fleet.command()
@_over_many
def status(**how: Any) -> int:
    """Say at which revision every target is, and which have drifted.

    \b
    Examples:
      sexton fleet status
      sexton fleet status --inventory fleet.toml --format json
    """
    return _run("status", {}, **how)


@fleet.command()
@click.argument("revision", default="head")
@_over_many
def upgrade(revision: str, **how: Any) -> int:
    """Upgrade every target, wave by wave; a wave that fails stops the next ones.

    Each target has a process of its own. Interrupted, --resume goes on from there.

    \b
    Examples:
      sexton fleet upgrade --resume state.jsonl
      sexton fleet upgrade 0003 --match tier=test -p 8
    """
    return _run("upgrade", {"revision": revision}, **how)


@fleet.command()
@click.argument("parts", nargs=-1, required=True, type=FILE, metavar="REPORT.json...")
@FORMAT
def merge(parts: tuple[Path, ...], style: str) -> int:
    """Join the reports of several shards into one.

    \b
    Examples:
      sexton fleet merge part1.json part2.json --format json > all.json
    """
    from sexton.fleet.report import merge

    return _show(merge(parts), style)


def _show(report: "FleetReport", style: str) -> int:
    from sexton.reporters import fleet as reporter

    show(style, report.document(), lambda: reporter.render(report))
    return report.code


def _run(
    kind: str,
    wanted: dict[str, Any],
    *,
    inventory: Path,
    match: str,
    shard: tuple[int, int],
    parallel: int | None,
    executor: str | None,
    state: Path | None,
    style: str,
) -> int:
    from sexton import documents
    from sexton.audit.selection import select_checks
    from sexton.fleet import executors, run
    from sexton.fleet import inventory as inventories
    from sexton.fleet import state as states
    from sexton.fleet.addresses import digest
    from sexton.fleet.report import FleetReport
    from sexton.fleet.work import Wanted, perform
    from sexton.project import current
    from sexton.text import durations

    # A name that is no check's is refused before any target is asked.
    checks = select_checks(wanted["checks"]) if kind == "audit" else []
    found = inventories.load(inventory)
    targets = inventories.select_targets(found.target, match, shard)
    matched = inventories.select_targets(found.target, match)
    shards = f"{shard[0]}/{shard[1]}"
    trusted = tuple(sorted(current().trust_owner))
    goal = None
    if kind == "upgrade":
        from sexton.upgrade.route import resolved

        goal = resolved(wanted["revision"])
    head = documents.Head(
        command=f"fleet {kind}",
        at=documents.now(),
        options={
            **{name: value for name, value in wanted.items() if name != "revision"},
            "project": current().name,
            "trust_owner": trusted,
            "match": match,
            "shard": shards,
            "targets": inventories.digest(matched),
        },
        revision=goal,
        checks={check.name: check.definition for check in checks},
    )
    limit = durations.parse(found.fleet.deadline)
    waves = inventories.waves(found, targets)
    if kind != "upgrade":  # only a change can do harm to the next ones
        waves = [(inventories.tolerant(wave), mine) for wave, mine in waves]
    how = Wanted(**wanted, deadline=limit, trust_owner=trusted)
    addresses = {t.name: digest(t, t.schema) for t in targets} if state else {}
    where = executor or ("processes" if kind == "upgrade" else "threads")
    at_once = parallel or max(wave.parallel for wave, _ in waves) if waves else 1
    with (
        states.state(state, head, addresses) as begun,
        executors.executor(where, at_once, limit + run.GRACE) as (pool, leaves),
    ):
        if leaves:
            inventories.require_no_secrets(targets)
        report = FleetReport(
            kind,
            begun.head.at.isoformat(),
            shard=shards,
            fail_on=wanted.get("fail_on"),
            resumed=len(begun.finished.keys() & {target.name for target in targets}),
            head=begun.head,
        )
        records = run.run_fleet(
            waves,
            functools.partial(perform, kind, how),
            pool,
            per_server=found.fleet.per_server,
            parallel=parallel,
            limit=limit,
            finished=begun.finished,
            soaked=functools.partial(perform, "status", how),
            watch=lambda line: click.echo(f"sexton: {printable(line)}", err=True),
        )
        for record in records:
            if record["target"] not in begun.finished:
                begun.note(record)
            report.add(record)
        if all(record["status"] in states.FINAL for record in report.records):
            begun.end()
    report.finish()
    return _show(report, style)
