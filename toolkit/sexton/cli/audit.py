"""`sexton checks`, `explain` and `audit`."""

import contextlib
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sexton import durations
from sexton.cli.options import FORMAT, URL, show
from sexton.errors import UsageError

if TYPE_CHECKING:
    from sexton.audit.baseline import Baseline
    from sexton.audit.report import Report

FORMATS = ("text", "json", "junit", "sarif", "prometheus")
ENDINGS = {
    ".txt": "text",
    ".json": "json",
    ".xml": "junit",
    ".sarif": "sarif",
    ".prom": "prometheus",
}


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A time, as every option takes it: 500ms, 30s, 10min; in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number of seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return durations.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


CHECKS = click.option(
    "--checks",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Load your own checks from DIR as well.",
)


@click.command()
@CHECKS
@FORMAT
def checks(directory: Path | None, style: str) -> None:
    """List the checks."""
    from sexton.audit.own_checks import known_checks
    from sexton.reporters import text

    known = known_checks(directory).values()
    document = {
        "checks": [
            {
                "check": check.name,
                "severity": check.severity,
                "summary": check.summary,
                "repair": bool(check.repairs),
            }
            for check in known
        ]
    }
    show(style, document, lambda: text.checks(known))


@click.command()
@click.argument("check")
@CHECKS
@URL
@FORMAT
def explain(check: str, directory: Path | None, url: str | None, style: str) -> None:
    """Say what one check finds, why, and what its repair does.

    With --url also how it would look at that database: by which strategy, why that one,
    and which index would help.
    """
    from sexton.audit.own_checks import known_checks
    from sexton.audit.selection import select_checks
    from sexton.reporters import text

    [found] = select_checks([check], known_checks(directory))
    document: dict[str, Any] = {
        "check": found.name,
        "severity": found.severity,
        "explanation": found.explanation,
        "sql": found.find,
        "repair_sql": "\n\n".join(found.repair_texts) or None,
    }
    choice = ""
    if url:
        from sexton.audit.units import examine
        from sexton.database import database, snapshot

        with (
            database(url, name="sexton explain", read_only=True) as connection,
            snapshot(connection),
        ):
            document["database"] = examine(connection, found)
        choice = text.choice(document["database"])
    show(style, document, lambda: text.explanation(found, choice))


@click.command()
@click.argument("names", nargs=-1, metavar="[CHECK]...")
@CHECKS
@click.option(
    "--format",
    "style",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="What stdout carries.",
)
@click.option(
    *("-o", "--output", "outputs"),
    metavar="[FORMAT:]FILE",
    multiple=True,
    help="Write a report into FILE as well; repeatable. The format, if not said, follows "
    "from the ending: .txt .json .xml .sarif .prom",
)
@click.option(
    "--fail-on",
    type=click.Choice(["info", "warning", "error", "never"]),
    default="warning",
    show_default=True,
    help="The least severity that makes the exit code 1.",
)
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="How many findings of each check to show; the count is of all.",
)
@click.option("--values", is_flag=True, help="Show in documents more than keys.")
@click.option(
    *("-j", "--jobs"),
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many connections look at once, all at the same snapshot.",
)
@click.option(
    "--statement-timeout",
    type=Duration(),
    default="60s",
    show_default=True,
    help="How long one statement may take; 0 means as long as it likes.",
)
@click.option(
    "--deadline",
    type=Duration(),
    help="How long everything may take; what is not looked at by then is incomplete.",
)
@click.option(
    "--confirm-after",
    type=Duration(),
    default="1s",
    show_default=True,
    help="How long between two looks at a soft reference with findings; 0 is one look.",
)
@click.option(
    "--budget",
    type=Duration(),
    metavar="TIME",
    help="How long scans of very large tables may take tonight; with --cursor.",
)
@click.option(
    "--cursor",
    "cursor_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the next run finds how far those scans have come.",
)
@click.option(
    "--max-age",
    type=Duration(),
    metavar="TIME",
    help="How old the last full pass of such a scan may be; older is incomplete.",
)
@click.option(
    "--recheck",
    is_flag=True,
    help="Look also where a valid foreign key enforces the reference.",
)
@click.option(
    "--baseline",
    "baseline_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Count the findings in FILE as known; only new ones fail.",
)
@click.option(
    "--write-baseline",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Accept what is found: write it into FILE. What is cured leaves it.",
)
@click.option(
    "--allow-additions",
    is_flag=True,
    help="Let --write-baseline add findings to a FILE that is there.",
)
@click.option("--reason", metavar="TEXT", help="Why the added findings are accepted.")
@click.option("--owner", metavar="NAME", help="Who answers for the added findings.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="The last day on which the added findings are accepted.",
)
@URL
def audit(
    url: str | None,
    names: tuple[str, ...],
    directory: Path | None,
    style: str,
    outputs: tuple[str, ...],
    target: Path | None,
    baseline_file: Path | None,
    **how: Any,
) -> int:
    """Run the checks, or those named, on one snapshot; read-only.

    Only SELECT is needed, and a hot standby will do.
    """
    from sexton.audit import baseline, cursor
    from sexton.audit.auditor import run_checks
    from sexton.audit.outcome import Options
    from sexton.audit.own_checks import known_checks
    from sexton.audit.report import Report
    from sexton.audit.selection import select_checks
    from sexton.check import Severity
    from sexton.cli.progress import Progress
    from sexton.database import address_of, connect, database

    if target and baseline_file and target != baseline_file:
        raise UsageError(
            "--baseline and --write-baseline name two files",
            hint="--write-baseline alone reads and writes its FILE",
        )
    if bool(how["budget"]) != bool(how["cursor_file"]) or (
        how["max_age"] and not how["cursor_file"]
    ):
        raise UsageError(
            "--budget, --cursor and --max-age go together",
            hint="sexton audit --budget 20min --cursor FILE --max-age 14d",
        )
    wanted = [_output(output) for output in outputs]
    available = known_checks(directory)
    selected = select_checks(names, available)
    before: Baseline | None = None
    if baseline_file or (target and target.exists()):
        before = baseline.load(baseline_file or target)  # type: ignore[arg-type]
    options = Options(
        sample=baseline.LIMIT if target else how["sample"],
        jobs=how["jobs"],
        statement_timeout=how["statement_timeout"],
        deadline=how["deadline"],
        confirm_after=how["confirm_after"],
        recheck=how["recheck"],
        known=before.known() if before else {},
    )
    with (
        address_of(url) as address,
        database(address, name="sexton audit", read_only=True) as connection,
        Progress(len(selected)) as progress,
    ):
        run, outcomes = run_checks(
            *(connection, selected, options),
            connect=lambda: connect(address, name="sexton audit", read_only=True),
            watch=progress.watch,
            cursor=cursor.load(how["cursor_file"], how["budget"], how["max_age"])
            if how["cursor_file"]
            else None,
        )
    threshold = None if how["fail_on"] == "never" else Severity(how["fail_on"])
    report = Report(
        *(run, outcomes, threshold),
        before.compare(outcomes, available) if before else None,
        values=how["values"],
    )
    for form, file in wanted:
        _write(report, form, file)
    if not target:
        click.echo(_rendered(report, style))
        return report.code
    return _accept(report, style, target, before, **how)


def _output(output: str) -> tuple[str, Path]:
    """Split `[FORMAT:]FILE`."""
    form, colon, file = output.partition(":")
    if colon and form in FORMATS:
        return form, Path(file)
    ending = Path(output).suffix
    if ending not in ENDINGS:
        raise UsageError(
            f"the format of {output} is not clear",
            hint=f"write FORMAT:FILE, where FORMAT is one of {', '.join(FORMATS)}",
        )
    return ENDINGS[ending], Path(output)


def _write(report: "Report", form: str, file: Path) -> None:
    from sexton.files import replace_file

    before = ""
    if form == "prometheus":
        with contextlib.suppress(OSError, UnicodeDecodeError):
            before = file.read_text(encoding="utf-8")
    replace_file(file, _rendered(report, form, before).rstrip("\n") + "\n")


def _rendered(report: "Report", form: str, before: str = "") -> str:
    """The report in a format; what only one of them needs is imported for that one."""
    if form == "json":
        from sexton.reporters import json

        return json.render(report.document())
    if form == "junit":
        from sexton.reporters import junit

        return junit.render(report)
    if form == "sarif":
        from sexton.reporters import sarif

        return sarif.render(report)
    if form == "prometheus":
        from sexton.reporters import prometheus

        return prometheus.render(report, before)
    from sexton.reporters import text

    return text.audit(report)


def _accept(
    report: "Report",
    style: str,
    target: Path,
    before: "Baseline | None",
    **how: Any,
) -> int:
    """Write the baseline, show a report as short as asked for, and say what was done."""
    from dataclasses import replace

    from sexton.audit import baseline
    from sexton.errors import DONE, INCOMPLETE

    accepted = [
        outcome
        for outcome in report.outcomes
        if report.fail_on is None or outcome.check.severity.rank >= report.fail_on.rank
    ]
    sample = how["sample"]
    short = [replace(o, findings=o.findings[:sample]) for o in report.outcomes]
    click.echo(_rendered(replace(report, outcomes=short), style))
    expires: datetime.datetime | None = how["expires"]
    written = baseline.write(
        *(target, before, accepted),
        allow_additions=how["allow_additions"],
        reason=how["reason"],
        owner=how["owner"],
        expires=expires.date() if expires else None,
    )
    click.echo(
        f"{target}: {written.added:,} added, {written.removed:,} removed, "
        f"{written.kept:,} kept",
        err=True,
    )
    return INCOMPLETE if report.verdict == "incomplete" else DONE
