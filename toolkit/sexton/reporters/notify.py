"""Telling an endpoint: one bounded HTTP request, tried again a few times, never fatal.

What an endpoint does, or does not do, changes nothing about what was found: who calls
this keeps the exit code it had.
"""

import base64
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from sexton.audit.outcome import document_verdict
from sexton.errors import UsageError
from sexton.text import exact
from sexton.text.printable import printable

ATTEMPTS = 3
TIMEOUT = 5.0  # seconds for each attempt
DEADLINE = 15.0  # seconds for all of them together, whatever the endpoint does
PAUSE = 1.0  # seconds before the second attempt, twice as long before each further one
LARGEST = 64 * 1024  # bytes of a notice; the report has the rest
SHOWN = 20  # findings in a notice, of each check
LISTED = 30  # checks in a message for a channel

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\]")


def require_endpoint(url: str) -> str:
    """Insist on an absolute http(s) URL; raises UsageError, without any part of it."""
    if why := _unsuitable(url):
        raise UsageError(
            f"an endpoint is an absolute http or https URL: {why}",
            hint="--notify https://hooks.example/sexton",
        )
    return url


def _unsuitable(url: str) -> str | None:
    if not re.fullmatch(r"[!-~]+", url):
        return "a space or a character beyond ASCII must be percent-encoded"
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        return "its host or its port is malformed"
    if parts.scheme not in ("http", "https"):
        return "it begins with neither http:// nor https://"
    place = parts.netloc.rpartition("@")[2]
    if not _HOST.fullmatch(re.sub(r":[0-9]*$", "", place)) or port == 0:
        return "its host or its port is malformed"
    return None


def send(
    url: str,
    body: bytes,
    *,
    kind: str = "application/json",
    method: str = "POST",
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Send a body; return None if it was accepted, else why not, naming the host alone.

    Nothing is raised, and nothing takes longer than the deadline: the request has a thread
    of its own, which is left behind if the endpoint does not let go of it.
    """
    answer: list[str | None] = []

    def work() -> None:
        answer.append(_attempts(url, body, kind, method, sleep))

    thread = threading.Thread(target=work, daemon=True, name="sexton notify")
    thread.start()
    thread.join(DEADLINE)
    why = answer[0] if answer else f"no answer within {DEADLINE:g} s"
    host = urllib.parse.urlsplit(url).hostname
    return why and f"{host} was not notified: {why}"


def _attempts(
    url: str, body: bytes, kind: str, method: str, sleep: Callable[[float], None]
) -> str | None:
    """Why no attempt succeeded; None if one did."""
    why: str | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE * 2 ** (attempt - 1))
        try:
            with _opener().open(_request(url, body, kind, method), timeout=TIMEOUT):
                return None
        except urllib.error.HTTPError as error:
            why = f"it answered {error.code}"
            error.close()
            if error.code < 500 and error.code != 429:
                return why  # asking again will not change its mind
        except OSError as error:  # refused, timed out, no such host
            why = _reason(error)
        except Exception as error:
            why = f"its answer is not HTTP ({type(error).__name__})"
    return why


def _request(url: str, body: bytes, kind: str, method: str) -> urllib.request.Request:
    """The request; credentials of the URL go into a header."""
    parts = urllib.parse.urlsplit(url)
    headers = {"Content-Type": kind}
    if parts.username is not None:
        credentials = f"{parts.username}:{parts.password or ''}"
        token = base64.b64encode(urllib.parse.unquote(credentials).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
    target = urllib.parse.urlunsplit(bare)
    return urllib.request.Request(target, body, headers, method=method)


def _reason(error: OSError) -> str:
    """What the operating system says, and no text that could quote the URL."""
    cause = getattr(error, "reason", error)
    said = cause.strerror if isinstance(cause, OSError) else None
    return said or (
        "timed out" if isinstance(cause, TimeoutError) else type(cause).__name__
    )


def tell(problem: str | None) -> None:
    """Say on stderr that an endpoint was not notified, if it was not."""
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


def as_json(message: Mapping[str, Any]) -> bytes:
    """The notice as JSON; findings, and then checks, are left out if it is too large."""
    body = exact.dumps(message).encode()
    if len(body) <= LARGEST:
        return body
    short = [{**check, "findings": [], "reason": None} for check in message["checks"]]
    body = exact.dumps({**message, "checks": short}).encode()
    if len(body) <= LARGEST:
        return body
    return exact.dumps({**message, "checks": short[:LISTED]}).encode()


def as_slack(message: Mapping[str, Any]) -> bytes:
    """The notice as Slack, Mattermost and others take it: `{"text": …}`.

    Names stand in backquotes, in which nothing is markup or calls anybody.
    """
    run, status = message["run"], message["status"]
    name = run["label"] or run["database"] or run["project"] or "a database"
    before = f" (before: {message['before']})" if message["before"] else ""
    lines = [f"sexton audit of {_code(name)}: *{status}*{before}"]
    for check in message["checks"][:LISTED]:
        word = "FAIL" if check["severity"] == "error" else check["severity"]
        said = f"{check['count']:,} finding{'' if check['count'] == 1 else 's'}"
        if check["status"] == "incomplete":
            word, said = "INCOMPLETE", "not everything was examined"
        new = f", {check['new']:,} new" if check.get("new") else ""
        lines.append(f"• {word} {_code(check['check'])}: {said}{new}")
    if (more := len(message["checks"]) - LISTED) > 0:
        lines.append(f"… and {more:,} more checks")
    return exact.dumps({"text": "\n".join(lines)}).encode()


def _code(name: str) -> str:
    shown = printable(name)[:100].replace("`", "'")
    for character, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        shown = shown.replace(character, escaped)
    return f"`{shown}`"


FORMATS: dict[str, Callable[[Mapping[str, Any]], bytes]] = {
    "json": as_json,
    "slack": as_slack,
}


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
