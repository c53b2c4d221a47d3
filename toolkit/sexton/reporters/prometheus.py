"""Audits as Prometheus text, for the node exporter's textfile collector.

No values of rows, and labels only from the checks' names, so the number of series is
bounded.
"""

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sexton.audit.report import Report

SUCCESS = "sexton_audit_last_success_timestamp_seconds"


def render(report: Report, before: str = "") -> str:
    """The numbers of an audit; `before` is the text that this one replaces.

    A run that looked at everything, whatever it found, is a success. The time of the last
    one is carried over from `before` when this run is incomplete: alert when it gets old.
    """
    registry = CollectorRegistry()

    def gauge(name: str, help: str, labels: tuple[str, ...] = ()) -> Gauge:  # noqa: A002
        return Gauge(f"sexton_audit_{name}", help, labels, registry=registry)

    findings = gauge(
        *(
            "findings",
            "Findings, new or known to the baseline.",
            ("check", "severity", "state"),
        )
    )
    status = gauge(
        "check_status", "1 for the status the check ended in.", ("check", "status")
    )
    duration = gauge("check_duration_seconds", "Time on the server.", ("check",))
    covered = gauge(
        "check_covered_ratio", "The part of the present pass looked at.", ("check",)
    )
    full_pass = gauge(
        *("check_last_full_pass_timestamp_seconds", "When a pass last ended.", ("check",))
    )
    for outcome in report.outcomes:
        name = outcome.check.name
        if outcome.covered is not None:
            covered.labels(name).set(outcome.covered)
        if outcome.last_full_pass is not None:
            full_pass.labels(name).set(outcome.last_full_pass.timestamp())
        for ended in ("pass", "fail", "incomplete", "skipped"):
            status.labels(name, ended).set(outcome.status == ended)
        duration.labels(name).set(outcome.elapsed_ms / 1000)
        # What was not looked at has no number: a zero would read as clean.
        if outcome.status in ("pass", "fail"):
            severity = outcome.check.severity.value
            findings.labels(name, severity, "new").set(outcome.new)
            findings.labels(name, severity, "known").set(outcome.known)
    finished = report.run.finished_at or report.run.started_at
    incomplete = report.verdict == "incomplete"
    gauge("incomplete", "1 where something was not looked at.").set(incomplete)
    gauge("last_run_timestamp_seconds", "When the last run ended.").set(
        finished.timestamp()
    )
    success = _last_success(before) if incomplete else finished.timestamp()
    if success is not None:
        gauge(
            *("last_success_timestamp_seconds", "When a run last looked at everything.")
        ).set(success)
    return generate_latest(registry).decode()


def _last_success(text: str) -> float | None:
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == SUCCESS:
                    return float(sample.value)
    except ValueError:
        pass  # not ours, or cut off: it then tells nothing
    return None
