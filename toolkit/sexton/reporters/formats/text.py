"""Audits as text: what is wrong last, where a terminal still shows it, then the summary."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from sexton.errors import DONE
from sexton.reporters.formats import Format
from sexton.text.printable import printable

if TYPE_CHECKING:
    from sexton.audit.baseline import Comparison
    from sexton.audit.outcome import Outcome
    from sexton.audit.report import Report
    from sexton.audit.since import Change
    from sexton.check import Check

INDENT = 12
COLOURS = {"FAIL": "31", "warning": "33", "INCOMPLETE": "35", "info": "36", "ok": "32"}
LEAST_WIDTH = 40  # narrower, wrapped lines read worse than those that run over


@dataclass(frozen=True)
class View:
    """How much is shown, and on what.

    `width` wraps lines and `height` bounds the rows of findings, in characters and lines;
    zero means neither.
    """

    verbose: bool = False
    quiet: bool = False
    colour: bool = False
    width: int = 0
    height: int = 0

    @classmethod
    def of(cls, stream: TextIO, *, verbose: bool = False, quiet: bool = False) -> "View":
        """What suits a stream: colour, width and height where it is a terminal."""
        terminal = stream.isatty()
        colour = terminal and os.environ.get("TERM") != "dumb"
        if os.environ.get("NO_COLOR"):
            colour = False
        elif os.environ.get("FORCE_COLOR"):
            colour = True
        if not terminal:
            return cls(verbose, quiet, colour)
        size = shutil.get_terminal_size()
        width = size.columns if size.columns >= LEAST_WIDTH else 0
        return cls(verbose, quiet, colour, width, size.lines)


def render(report: "Report", _: str = "") -> str:
    """The report as it stands in a file: nothing is cut off."""
    return audit(report)


def audit(report: "Report", view: View | None = None) -> str:
    """Where it looked, what it found, the worst last, and what that amounts to."""
    view = view or View()
    shown = sorted(
        (o for o in report.outcomes if o.status in ("fail", "incomplete")),
        key=lambda o: (o.status == "incomplete", o.check.severity.rank, o.check.name),
    )
    before = [] if view.quiet else [_location(report)]
    before += _quiet_ones(report, view)
    after = [] if view.quiet and not shown else _summary(report)
    if report.comparison and not view.quiet:
        before += _comparison(report.comparison)
    rows = max((len(o.findings) for o in shown), default=0)
    while True:
        lines = [line for o in shown for line in _outcome(report, o, rows, view)]
        wrapped = [
            w for line in (*before, *lines, *after) for w in _wrap(printable(line), view)
        ]
        # The last line is for the prompt.
        if rows <= 1 or not view.height or len(wrapped) < view.height:
            return "\n".join(_coloured(line, view) for line in wrapped)
        rows -= 1


def headline(outcome: "Outcome", change: "Change | None" = None) -> str:
    """How many findings, in words; empty where there are none."""
    said = []
    if outcome.count:
        at_least = "at least " if outcome.count_is == "at_least" else ""
        noun = "finding" if outcome.count == 1 else "findings"
        said.append(f"{at_least}{outcome.count:,} {noun}")
        if outcome.known:
            said.append(f"{outcome.known:,} known")
    if change and change.new is not None:
        words = (("new since", change.new), ("resolved", change.resolved))
        said += [f"{number:,} {word}" for word, number in words if number]
    return ", ".join(said)


def advice(check: "Check") -> str | None:
    """What to type, or to decide, about a check's findings; None where there is nothing."""
    explain = f"sexton explain {check.name}"
    if check.repairs and check.data_loss:
        return f"to decide: its repair loses {check.data_loss}; {explain}"
    if check.repairs and check.manual_action:
        return (
            f"to repair: sexton repair {check.name}; "
            f"for what it leaves: {check.manual_action}"
        )
    if check.repairs:
        return f"to repair: sexton repair {check.name}"
    return f"to decide: {check.manual_action}" if check.manual_action else None


def _location(report: "Report") -> str:
    run = report.run
    where = f" at {run.host}" if run.host else ""
    where += f":{run.port}" if run.host and run.port else ""
    role = f" as {run.role}" if run.role else ""
    label = f" ({run.label})" if run.label else ""
    when = run.started_at.strftime("%Y-%m-%d %H:%M:%S %Z")
    return f"{run.database}{where}{role}{label}, {when}"


def _quiet_ones(report: "Report", view: View) -> Iterator[str]:
    """What passed or was skipped: a line each if asked for, else in as few as can be."""
    skipped: dict[str, list[str]] = {}
    for outcome in report.outcomes:
        if outcome.status == "skipped":
            skipped.setdefault(outcome.reason or "", []).append(outcome.check.name)
            if view.verbose:
                yield _line("skipped", outcome, report)
        elif outcome.status == "pass" and view.verbose:
            yield _line("ok", outcome, report)
        elif outcome.known and outcome.status == "pass" and not view.quiet:
            yield _line("known", outcome, report)
    if skipped and not (view.verbose or view.quiet):
        said = [f"{', '.join(names)} ({why})" for why, names in skipped.items()]
        yield f"{'skipped':<{INDENT}}{'; '.join(said)}"


def _word(outcome: "Outcome") -> str:
    if outcome.status == "incomplete":
        return "INCOMPLETE"
    severity = outcome.check.severity.value
    return "FAIL" if severity == "error" else severity


def _line(word: str, outcome: "Outcome", report: "Report") -> str:
    change = report.changes.get(outcome.check.name)
    said = [
        headline(outcome, change) if outcome.status in ("fail", "pass") else "",
        outcome.reason or "",
        outcome.scope,
    ]
    if outcome.strategy and outcome.strategy != "constraint":
        said[-1] += f", {outcome.strategy}, {outcome.elapsed_ms:.1f} ms"
    text = "; ".join(filter(None, said))
    return f"{word:<{INDENT}}{outcome.check.name:<32} {text}"


def _outcome(report: "Report", outcome: "Outcome", rows: int, view: View) -> Iterator[str]:
    yield _line(_word(outcome), outcome, report)
    if view.quiet:
        return
    space = " " * INDENT
    change = report.changes.get(outcome.check.name)
    if change and change.reason:
        yield space + change.reason
    for finding in outcome.findings[:rows]:
        where = " ".join(f"{name}={value}" for name, value in finding.key.items())
        shown = f" [{where}]" if where else ""
        since = change.since.get(finding.fingerprint) if change else None
        seen = ""
        if change and since:
            first = since.partition("T")[0]
            new = since == _utc(report)
            seen = " NEW" if new else f" (since {first})"
        yield space + finding.message + shown + seen
    hidden = outcome.open - min(len(outcome.findings), rows)
    if outcome.findings and hidden > 0:
        yield f"{space}… and {hidden:,} more (--sample N shows more)"
    if outcome.status == "fail" and (text := advice(outcome.check)):
        yield space + text


def _utc(report: "Report") -> str:
    return report.run.started_at.isoformat().replace("+00:00", "Z")


def _comparison(comparison: "Comparison") -> Iterator[str]:
    for word, entries in (("stale", comparison.stale), ("expired", comparison.expired)):
        for entry in entries:
            key = ", ".join(f"{name}={value}" for name, value in entry.key.items())
            owner = f"; ask {entry.owner}" if entry.owner else ""
            text = f"{entry.table} {key}{owner}"
            yield f"{word:<{INDENT}}{entry.check:<32} {text}"
    if comparison.stale:
        import shlex

        file = shlex.quote(comparison.file)
        yield f"{'':<{INDENT}}to drop them: sexton audit --write-baseline {file}"


def _summary(report: "Report") -> list[str]:
    """How the checks ended, by name where they did not pass; information apart."""
    passed, skipped = report.counted("pass"), report.counted("skipped")
    failed = [o for o in report.outcomes if o.status == "fail"]
    total = len(report.outcomes)
    groups: list[tuple[str, list[str]]] = [(f"{passed} pass", [])] if passed else []
    for severity, word in (("error", "fail"), ("warning", "warn"), ("info", "info")):
        found = [o.check.name for o in failed if o.check.severity == severity]
        groups += [(f"{len(found)} {word}", found)] if found else []
    lost = [o.check.name for o in report.outcomes if o.status == "incomplete"]
    groups += [(f"{len(lost)} incomplete", lost)] if lost else []
    groups += [(f"{skipped} skipped", [])] if skipped else []
    counted = ", ".join(
        said + (f" ({_some(names)})" if names else "") for said, names in groups
    )
    noun = "check" if total == 1 else "checks"
    changed = ""
    if report.changes:
        sums = {
            word: sum(getattr(c, word) or 0 for c in report.changes.values())
            for word in ("new", "persisting", "resolved")
        }
        said = ", ".join(f"{number:,} {word}" for word, number in sums.items())
        changed = f" Since {report.since or ''}: {said}."
    # A threshold that lets findings pass is named, for 0 alone would read as clean.
    passes = report.status == "findings" and report.code == DONE
    why = f" (--fail-on {report.fail_on})" if passes and report.fail_on != "warning" else ""
    return [f"{total} {noun}: {counted}.{changed} Exit {report.code}{why}."]


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _wrap(line: str, view: View) -> list[str]:
    if not view.width or len(line) <= view.width:
        return [line]
    indent = " " * (INDENT + 2 if line.startswith((" ", *COLOURS)) else 2)
    return textwrap.wrap(line, view.width, subsequent_indent=indent, break_on_hyphens=False)


def _coloured(line: str, view: View) -> str:
    word = line.split(" ", 1)[0]
    if not view.colour or word not in COLOURS:
        return line
    return f"\x1b[{COLOURS[word]}m{word}\x1b[0m{line.removeprefix(word)}"


def show(report: "Report", *, verbose: bool = False, quiet: bool = False) -> str:
    """The report as it suits the standard output."""
    return audit(report, View.of(sys.stdout, verbose=verbose, quiet=quiet))


FORMAT = Format(render, (".txt",))
