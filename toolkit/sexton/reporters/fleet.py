"""A fleet's report as text: what is wrong first, what is alike in one line."""

from collections.abc import Iterable

from sexton.errors import DONE
from sexton.fleet.report import FleetReport
from sexton.fleet.state import Record
from sexton.text.printable import printable

SHOWN = 50  # targets that are listed; the document has them all


def render(report: FleetReport) -> str:
    """The targets that need somebody, the worst first; then counts and versions."""
    wrong = [r for r in report.records if r["status"] not in ("clean", "applied")]
    lines = [line for record in wrong[:SHOWN] for line in _target(record)]
    if len(wrong) > SHOWN:
        lines.append(f"… and {len(wrong) - SHOWN:,} more targets (--format json has all)")
    versions = report.versions()
    if len(versions) > 1:
        listed = ", ".join(f"{number:,} at {name}" for name, number in versions.items())
        lines.append(f"revisions differ: {listed}")
    if report.missing:
        listed = ", ".join(report.missing)
        lines.append(f"{'INCOMPLETE':<11} the reports lack: {listed}")
    if report.resumed:
        were = "target was" if report.resumed == 1 else "targets were"
        said = f"{report.resumed:,} {were} finished by the interrupted run of"
        lines.append(f"{said} {report.started_at}")
    counted = ", ".join(f"{number:,} {status}" for status, number in report.counts.items())
    passes = report.status == "findings" and report.code == DONE
    why = f" (--fail-on {report.fail_on})" if passes and report.fail_on else ""
    shard = f" of shard {report.shard}" if report.shard != "1/1" else ""
    lines.append(
        f"{len(report.records):,} targets{shard}: {counted}. Exit {report.code}{why}."
    )
    return "\n".join(map(printable, lines))


def _target(record: Record) -> Iterable[str]:
    word = "FAIL" if record["status"] == "findings" else record["status"].upper()
    name = record["target"]
    server = record.get("server") or ""
    reason = record.get("reason")
    yield f"{word:<11} {name} ({server})" + (f": {reason}" if reason else "")
    for check in record.get("checks") or ():
        if check["status"] == "fail":
            yield f"{'':<12}{check['check']}: {check['count']:,} findings"
    if hint := record.get("hint"):
        yield f"{'':<12}next: {hint}"
