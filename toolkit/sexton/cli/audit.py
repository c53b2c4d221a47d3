"""`sexton audit`."""

import contextlib
import datetime
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sexton.cli import completion
from sexton.cli.audit_options import with_options
from sexton.documents import Head, now
from sexton.errors import DONE, INCOMPLETE, SextonError, UsageError
from sexton.reporters import formats
from sexton.text.printable import printable, shown

if TYPE_CHECKING:
    from sexton.audit.baseline import Baseline
    from sexton.audit.outcome import Outcome, Run
    from sexton.audit.report import Report
    from sexton.audit.since import Before
    from sexton.check import Check


@click.command()
@click.argument("names", nargs=-1, metavar="[CHECK]...", shell_complete=completion.checks)
@with_options
def audit(url: str | None, names: tuple[str, ...], style: str, **how: Any) -> int:
    """Run the checks, or those named, on one snapshot; read-only.

    Only SELECT is needed, and a hot standby will do. Names may have wildcards.

    \b
    Examples:
      sexton audit
      sexton audit 'default_*' --skip default_disabled --fail-on error
      sexton audit --since yesterday.json --fail-on new -o json:today.json
      sexton audit --format json -o report.xml -o prometheus:/var/lib/sexton.prom
    """
    from sexton.audit.own_checks import known_checks, own_checks
    from sexton.audit.selection import select_checks

    _consistent(how)
    wanted = [_output(output) for output in how["outputs"]]
    available = known_checks(how["directories"])
    mine = own_checks(how["directories"]) if how["only_own"] else available
    selected = select_checks(names, mine, skip=how["skip"])
    target: Path | None = how["target"]
    accepted: Baseline | None = None
    known: Path | None = how["baseline_file"] or (
        target if target and target.exists() else None
    )
    if known:
        from sexton.audit import baseline

        accepted = baseline.load(known)
        renewed = target and how["allow_additions"]
        defined = {name: check.definition for name, check in available.items()}
        if not renewed:
            accepted.require_same(Head(command="audit", at=now(), checks=defined))
    before = _before(how["since_file"])
    try:
        known_rows = accepted.known(defined) if accepted else {}
        run, outcomes = _run(url, selected, known_rows, **how)
    except SextonError as error:
        _write_unreached(wanted, selected, error, url, style, before, how)
        raise
    report = _report(run, outcomes, before, **how)
    if accepted and not renewed:
        asked = msgspec.structs.replace(report.head, revision=None)
        accepted.require_same(asked)
    if accepted:
        report = replace(report, comparison=accepted.compare(outcomes, available))
    if target:
        report = _accept(report, accepted, **how)
    report = _shortened(report, before, how["sample"])
    for form, destination in wanted:
        _write(report, form, destination)
    _notify(report, before, how)
    if said := _rendered(report, style, how):
        click.echo(said)
    return report.code


def _before(file: Path | None) -> "Before | None":
    """The earlier run of --since; None, said on stderr, if there is no such file yet."""
    from sexton.audit import since

    if file is None:
        return None
    if file.parent.is_dir() and not os.path.lexists(file):
        said = f"sexton: {shown(file)} does not exist: there is no earlier run, so that "
        click.echo(f"{said}every finding is new", err=True)
        return None
    return since.load(file)


def _notify(report: "Report", before: "Before | None", how: dict[str, Any]) -> None:
    """Tell the endpoint what changed, if it did; it cannot change the exit code."""
    if not how["notify"]:
        return
    from sexton.reporters import json as documents
    from sexton.reporters import notify
    from sexton.text import exact

    document = exact.loads(documents.render(report.document()))
    if message := notify.notice(document, before.document if before else None):
        body = notify.FORMATS[how["notify_format"]](message)
        notify.tell(notify.send(how["notify"], body))


def _consistent(how: dict[str, Any]) -> None:
    """Refuse options that contradict each other."""
    if how["notify"]:
        from sexton.reporters.notify import require_endpoint

        require_endpoint(how["notify"])
    target, known = how["target"], how["baseline_file"]
    if target and known and target != known:
        raise UsageError(
            "--baseline and --write-baseline name two files",
            hint="--write-baseline alone reads and writes its FILE",
        )
    if how["fail_on"] == "new" and not how["since_file"]:
        raise UsageError(
            "--fail-on new needs the run that findings are new to",
            hint="sexton audit --since RUN.json --fail-on new",
        )
    if how["only_own"] and not how["directories"]:
        raise UsageError(
            "--only-own runs the checks of --checks, and there is none",
            hint="sexton audit --checks DIR --only-own",
        )


def _run(
    url: str | None,
    selected: "Sequence[Check]",
    known: Mapping[str, Sequence[str]],
    **how: Any,
) -> "tuple[Run, list[Outcome]]":
    from sexton.audit import since
    from sexton.audit.auditor import run_checks
    from sexton.audit.outcome import Options
    from sexton.cli.progress import Progress
    from sexton.database import database
    from sexton.postgres.connect import another

    sample = how["sample"]
    if how["target"]:
        from sexton.audit import baseline

        sample = max(sample, baseline.LIMIT)
    if how["since_file"]:
        sample = max(sample, since.LIMIT)
    options = Options(
        sample=sample,
        jobs=how["jobs"],
        statement_timeout=how["statement_timeout"],
        deadline=how["deadline"],
        confirm_after=how["confirm_after"],
        recheck=how["recheck"],
        known=known,
        label=printable(how["label"]) if how["label"] else None,
    )
    name = "sexton audit"
    with (
        # What an own check prints must not stand in the document.
        contextlib.redirect_stdout(sys.stderr),
        database(url, name=name, read_only=True) as connection,
        Progress(len(selected)) as progress,
    ):
        return run_checks(
            *(connection, selected, options),
            connect=lambda: another(connection, read_only=True),
            watch=progress.watch,
        )


def _report(
    run: "Run", outcomes: "Sequence[Outcome]", before: "Before | None", **how: Any
) -> "Report":
    from sexton.audit import since
    from sexton.audit.report import Report

    if before:
        before.require_same_database(run)
    return Report(
        *(run, outcomes, how["fail_on"]),
        values=how["values"],
        since=str(before.file) if before else None,
        changes=since.changes(before, outcomes, run.started_at) if before else {},
    )


def _shortened(report: "Report", before: "Before | None", sample: int) -> "Report":
    """The report with as many findings of each check as were asked for."""
    from sexton.audit.since import shortened

    outcomes = [shortened(outcome, before, sample) for outcome in report.outcomes]
    return replace(report, outcomes=outcomes)


def _write_unreached(
    wanted: Sequence[tuple[str, str]],
    selected: "Sequence[Check]",
    error: SextonError,
    url: str | None,
    style: str,
    before: "Before | None",
    how: dict[str, Any],
) -> None:
    """Write the reports of an audit that could not begin: incomplete, and why."""
    from sexton.audit.report import Report
    from sexton.audit.unreached import unreached
    from sexton.database import EMBEDDED, address_of

    address: str | None = None
    if not (url or "").startswith(EMBEDDED):
        with contextlib.suppress(SextonError), address_of(url) as found:
            address = found
    run, outcomes = unreached(
        selected, error, address, printable(how["label"] or "") or None
    )
    report = Report(run, outcomes, how["fail_on"], exit_code=error.code)
    _notify(report, before, how)
    for form, destination in wanted:
        _write(report, form, destination)
    if style not in ("text", "json"):  # which say the error themselves
        click.echo(_rendered(report, style, how))


def _output(output: str) -> tuple[str, str]:
    """Split `[FORMAT:]FILE`."""
    form, colon, destination = output.partition(":")
    if colon and form in formats.names():
        formats.named(form).check(destination)
        return form, destination
    found = formats.by_ending(Path(output).suffix)
    if found is None:
        raise UsageError(
            f"the format of {output} is not clear",
            hint=f"write FORMAT:FILE, where FORMAT is one of {', '.join(formats.names())}",
        )
    return found, output


def _write(report: "Report", form: str, destination: str) -> None:
    from sexton.files import replace_file

    found = formats.named(form)
    if found.deliver:
        found.deliver(found.render(report, ""), destination)
        return
    file, before = Path(destination), ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if file.is_file():
            before = file.read_text(encoding="utf-8")
    replace_file(file, found.render(report, before).rstrip("\n") + "\n")


def _rendered(report: "Report", style: str, how: dict[str, Any]) -> str:
    if style == "text":
        from sexton.reporters.formats import text

        return text.show(report, verbose=how["verbose"], quiet=how["quiet"])
    return formats.named(style).render(report, "")


def _accept(report: "Report", before: "Baseline | None", **how: Any) -> "Report":
    """Write the baseline, and say what was done; return the report with its exit code."""
    from sexton.audit import baseline

    accepted = [
        outcome
        for outcome in report.outcomes
        if report.threshold is None or report.reaches(outcome)
    ]
    target: Path = how["target"]
    expires: datetime.datetime | None = how["expires"]
    written = baseline.write(
        *(target, before, accepted, report.head),
        allow_additions=how["allow_additions"],
        reason=how["reason"],
        owner=how["owner"],
        expires=expires.date() if expires else None,
    )
    click.echo(
        f"{shown(target)}: {written.added:,} added, {written.removed:,} removed, "
        f"{written.kept:,} kept",
        err=True,
    )
    code = INCOMPLETE if report.status == "incomplete" else DONE
    return replace(report, exit_code=code)
