"""Telling an endpoint: one bounded HTTP request, tried again a few times, never fatal.

What an endpoint does, or does not do, changes nothing about what was found: who calls
this keeps the exit code it had.
"""

import base64
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from sexton.audit.outcome import document_verdict
from sexton.errors import UsageError
from sexton.text.printable import printable

ATTEMPTS = 3
TIMEOUT = 5.0  # seconds for each attempt
PAUSE = 1.0  # seconds before the second attempt, twice as long before each further one
LARGEST = 64 * 1024  # bytes of a notice; the report has the rest
SHOWN = 20  # findings in a notice, of each check


def require_endpoint(url: str) -> str:
    """Insist on an absolute http(s) URL; raises UsageError, without its credentials."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "an endpoint is an absolute http or https URL",
            hint="--notify https://hooks.example/sexton",
        )
    return url


def send(
    url: str,
    body: bytes,
    *,
    kind: str = "application/json",
    method: str = "POST",
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Send a body; return None where it was taken, else why not, naming the host alone."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname
    headers = {"Content-Type": kind}
    if parts.username is not None:
        credentials = f"{parts.username}:{parts.password or ''}"
        token = base64.b64encode(urllib.parse.unquote(credentials).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
        netloc = parts.netloc.rpartition("@")[2]
        url = urllib.parse.urlunsplit(parts._replace(netloc=netloc))
    request = urllib.request.Request(url, body, headers, method=method)
    why = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE * 2 ** (attempt - 1))
        try:
            with _opener().open(request, timeout=TIMEOUT):
                return None
        except urllib.error.HTTPError as error:
            why = f"it answered {error.code}"
            error.close()
            if error.code < 500 and error.code != 429:
                break  # asking again will not change its mind
        except (OSError, ValueError) as error:  # refused, timed out, no such host, no HTTP
            why = str(getattr(error, "reason", None) or type(error).__name__)
    return f"{host} was not notified: {why}"


def tell(problem: str | None) -> None:
    """Say on stderr that an endpoint was not notified, where that is so."""
    if problem:
        sys.stderr.write(f"sexton: {printable(problem)}; the result stands all the same\n")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could carry the body to anywhere: it is an answer, not an order."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)


def notice(
    document: Mapping[str, Any], before: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """What to say of an audit's document; None where nothing changed since the one before.

    Without one before, whatever is not clean is news. Row values are left out.
    """
    checks = [_check(check) for check in document["checks"]]
    failed = [check for check in checks if check["status"] in ("fail", "incomplete")]
    if before is None:
        changed = document_verdict(document) != "clean"
    else:
        changed = _state(document) != _state(before)
    if not changed:
        return None
    run = document["run"]
    return {
        "schema_version": 1,
        "run": {name: run.get(name) for name in ("id", "project", "label", "database")},
        "status": document_verdict(document),
        "before": before and document_verdict(before),
        "checks": failed,
    }


def encode(message: Mapping[str, Any]) -> bytes:
    """The notice as JSON; findings are left out where it would be too large."""
    body = json.dumps(message, default=str).encode()
    if len(body) <= LARGEST:
        return body
    short = [{**check, "findings": []} for check in message["checks"]]
    return json.dumps({**message, "checks": short}, default=str).encode()


def _check(check: Mapping[str, Any]) -> dict[str, Any]:
    names = ("check", "severity", "status", "reason", "count", "new", "resolved")
    kept = {name: check[name] for name in names if name in check}
    rows = [
        {"table": f["table"], "key": f["key"], "fingerprint": f["fingerprint"]}
        for f in check.get("findings", ())[:SHOWN]
    ]
    return {**kept, "findings": rows}


def _state(document: Mapping[str, Any]) -> Any:
    """What two runs are compared by: verdicts, numbers, and which rows."""
    return document_verdict(document), sorted(
        (
            check["check"],
            check["status"],
            check["count"],
            sorted(finding["fingerprint"] for finding in check.get("findings", ())),
        )
        for check in document["checks"]
        if check["status"] in ("fail", "incomplete")
    )
