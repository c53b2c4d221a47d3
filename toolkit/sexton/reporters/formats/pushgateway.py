"""The same metrics, pushed to a Prometheus Pushgateway: for pods, which keep no file.

sexton audit -o pushgateway:https://gateway.example:9091
"""

from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from sexton.reporters.formats import Format, prometheus
from sexton.text.printable import printable

if TYPE_CHECKING:
    from sexton.audit.report import Report

JOB = "/metrics/job/sexton"


def render(report: "Report", before: str = "") -> str:
    """The metrics as text, after a line that says under which group they belong."""
    group = _segment(report.run.label or report.run.database or "unknown")
    return f"# group {group}\n{prometheus.render(report, before)}"


def _segment(name: str) -> str:
    """The grouping label and its value in a path, whatever the name is."""
    if name in (".", ".."):  # which a server takes out of the path
        return f"database@base64/{urlsafe_b64encode(name.encode()).decode()}"
    return f"database/{quote(printable(name), safe='')}"


def check(url: str) -> None:
    """Insist on an absolute http(s) URL; raises UsageError."""
    from sexton.reporters.notify import require_endpoint

    require_endpoint(url)


def deliver(text: str, url: str) -> None:
    """Push; a gateway that does not answer is reported, and changes nothing else."""
    from sexton.reporters.notify import send, tell

    group = text.partition("\n")[0].removeprefix("# group ")
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}{JOB}/{group}"
    target = urlunsplit(parts._replace(path=path))
    kind = "text/plain; version=0.0.4"
    tell(send(target, text.encode(), kind=kind, method="PUT"))


FORMAT = Format(render, deliver=deliver, check=check)
