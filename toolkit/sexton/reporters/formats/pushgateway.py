"""The same metrics, pushed to a Prometheus Pushgateway: for pods, which keep no file.

sexton audit -o pushgateway:https://gateway.example:9091
"""

from typing import TYPE_CHECKING
from urllib.parse import quote

from sexton.reporters.formats import Format, prometheus

if TYPE_CHECKING:
    from sexton.audit.report import Report

JOB = "/metrics/job/sexton"


def render(report: "Report", before: str = "") -> str:
    """The metrics as text, after a line that says under which group they belong."""
    group = report.run.label or report.run.database or "unknown"
    return f"# group {quote(group, safe='')}\n{prometheus.render(report, before)}"


def check(url: str) -> None:
    """Insist on an absolute http(s) URL; raises UsageError."""
    from sexton.reporters.notify import require_endpoint

    require_endpoint(url)


def deliver(text: str, url: str) -> None:
    """Push; a gateway that does not answer is reported, and changes nothing else."""
    from sexton.reporters.notify import send, tell

    group = text.partition("\n")[0].removeprefix("# group ")
    target = f"{url.rstrip('/')}{JOB}/database/{group}"
    kind = "text/plain; version=0.0.4"
    tell(send(target, text.encode(), kind=kind, method="PUT"))


FORMAT = Format(render, deliver=deliver, check=check)
