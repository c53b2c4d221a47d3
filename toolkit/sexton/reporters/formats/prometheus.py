"""Audits as Prometheus text, for the node exporter's textfile collector.

No values of rows, and labels only from the checks' names and the database's, so the
number of series is bounded.
"""

from typing import TYPE_CHECKING, Any

from sexton.reporters.formats import Format
from sexton.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sexton.audit.report import Report

SUCCESS = "sexton_audit_last_success_timestamp_seconds"


def render(report: "Report", before: str = "") -> str:
    """The numbers of an audit; `before` is the text that this one replaces.

    A run that looked at everything, whatever it found, is a success. The time of the last
    one is carried over from `before` when this run is incomplete: alert when it gets old.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    run = report.run
    host = f"{run.host}:{run.port}" if run.port else run.host
    where = {"database": run.database, "host": host, "label": run.label or ""}
    where = {name: printable(value) for name, value in where.items()}
    registry = CollectorRegistry()

    def gauge(name: str, help: str, *labels: str) -> Any:  # noqa: A002
        made = Gauge(f"sexton_audit_{name}", help, [*where, *labels], registry=registry)
        return lambda **values: made.labels(**where, **values)

    _checks(report, gauge)
    finished = (run.finished_at or run.started_at).timestamp()
    incomplete = report.status == "incomplete"
    status = gauge("status", "1 for what was found, whatever --fail-on says.", "status")
    for found in ("clean", "findings", "incomplete"):
        status(status=found).set(report.status == found)
    gauge("incomplete", "1 where something was not looked at.")().set(incomplete)
    gauge("last_run_timestamp_seconds", "When the last run ended.")().set(finished)
    success = _last_success(before, where) if incomplete else finished
    if success is not None:
        gauge(
            "last_success_timestamp_seconds", "When a run last looked at everything."
        )().set(success)
    return generate_latest(registry).decode()


def _checks(report: "Report", gauge: "Callable[..., Any]") -> None:
    """The numbers of each check."""
    findings = gauge(
        *("findings", "Findings, open or known to the baseline."),
        *("check", "severity", "state"),
    )
    status = gauge(
        "check_status", "1 for the status the check ended in.", "check", "status"
    )
    duration = gauge("check_duration_seconds", "Time on the server.", "check")
    for outcome in report.outcomes:
        name = outcome.check.name
        for ended in ("pass", "fail", "incomplete", "skipped"):
            status(check=name, status=ended).set(outcome.status == ended)
        duration(check=name).set(outcome.elapsed_ms / 1000)
        # What was not looked at has no number: a zero would read as clean.
        if outcome.status in ("pass", "fail"):
            severity = outcome.check.severity.value
            for state, number in (("open", outcome.open), ("known", outcome.known)):
                findings(check=name, severity=severity, state=state).set(number)
    if report.changes:
        changed = gauge(
            *("changes", "Findings since the run before, by what became of them."),
            *("check", "change"),
        )
        for name, change in report.changes.items():
            for word in ("new", "persisting", "resolved"):
                if (number := getattr(change, word)) is not None:
                    changed(check=name, change=word).set(number)


def _last_success(text: str, where: dict[str, str]) -> float | None:
    from prometheus_client.parser import text_string_to_metric_families

    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                # A standby that took over has another host, and the same database.
                if sample.name == SUCCESS and all(
                    sample.labels.get(name, "") == where[name]
                    for name in ("database", "label")
                ):
                    return float(sample.value)
    except ValueError:
        pass  # not ours, or cut off: it then tells nothing
    return None


FORMAT = Format(render, (".prom",))
