"""What the page shows, made from the documents that audits and fleets print.

The newest run of each database is shown whole, beside what changed since the run before;
older ones make the trend.
"""

import shlex
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sexton.audit.outcome import document_verdict
from sexton.text.printable import printable

Document = Mapping[str, Any]

ROWS = 200  # findings of a check on the page; the document may have more
RUNS = 60  # in a trend
SEVERITIES = ("error", "warning", "info")
WORDS = {"error": "fail", "warning": "warn", "info": "info"}
VERDICTS = {
    "clean": "Nothing wrong was found",
    "findings": "Something is wrong",
    "incomplete": "Not everything was looked at",
}
STATUSES = ("fail", "incomplete", "pass", "skipped")


@dataclass(frozen=True)
class Row:
    """One finding: its table and key, what is said of it, and since when it is there."""

    where: str
    message: str
    news: str


@dataclass(frozen=True)
class CheckView:
    """A check as the page shows it."""

    name: str
    severity: str
    status: str
    headline: str
    news: str
    reason: str
    explanation: list[str]
    sql: str
    rows: list[Row]
    hidden: str
    commands: list[str]
    resolved: list[str]


@dataclass(frozen=True)
class Bar:
    """One run in the trend; sizes in per mille of the picture."""

    x: float
    y: float
    width: float
    height: float
    at: str
    status: str
    findings: int


@dataclass(frozen=True)
class Section:
    """One database: its newest run, and how it came there."""

    title: str
    status: str
    verdict: str
    facts: list[tuple[str, str]]
    news: str
    wrong: list[CheckView]
    incomplete: list[CheckView]
    passed: list[str]
    skipped: list[tuple[str, str]]
    bars: list[Bar] = field(default_factory=list)


@dataclass(frozen=True)
class Explained:
    """What a check's own declaration adds to its name."""

    explanation: str
    sql: str


def sections(
    documents: Sequence[Document], explained: Mapping[str, Explained]
) -> list[Section]:
    """A section for each database that the documents tell of, the worst first."""
    databases: dict[tuple[str, ...], list[Document]] = {}
    for document in sorted(documents, key=lambda d: str(d["run"]["started_at"])):
        databases.setdefault(_database(document), []).append(document)
    made = [_section(runs, explained) for runs in databases.values()]
    order = ("incomplete", "findings", "clean")
    return sorted(made, key=lambda s: (order.index(s.status), -len(s.wrong), s.title))


def _database(document: Document) -> tuple[str, ...]:
    run = document["run"]
    names = ("project", "label", "host", "port", "database")
    return tuple(str(run.get(name) or "") for name in names)


def _section(runs: Sequence[Document], explained: Mapping[str, Explained]) -> Section:
    latest = runs[-1]
    before = runs[-2] if len(runs) > 1 else None
    past = {check["check"]: check for check in before["checks"]} if before else {}
    run = latest["run"]
    shown = [
        _check(check, past.get(check["check"]), before is not None, explained)
        for check in latest["checks"]
    ]
    wrong = [check for check in shown if check.status == "fail"]
    wrong.sort(key=lambda c: (SEVERITIES.index(c.severity), not c.news, c.name))
    facts = [
        ("database", _where(run)),
        ("as", run.get("role")),
        (
            "looked at",
            f"{_time(run['started_at'])}, snapshot {run.get('snapshot') or 'none'}",
        ),
        ("revision", run.get("revision")),
        ("server", run.get("server_version")),
        ("Sexton", run.get("tool_version")),
    ]
    return Section(
        title=str(run.get("label") or run["database"] or "a database"),
        status=document_verdict(latest),
        verdict=_verdict(latest),
        facts=[(name, str(value)) for name, value in facts if value],
        news=_news(wrong, before),
        wrong=wrong,
        incomplete=[check for check in shown if check.status == "incomplete"],
        passed=[check.name for check in shown if check.status == "pass"],
        skipped=[
            (check.name, check.reason) for check in shown if check.status == "skipped"
        ],
        bars=_bars(runs[-RUNS:]),
    )


def _verdict(document: Document) -> str:
    """The headline: what was found, with the number of checks that say so."""
    checks = document["checks"]
    failed = Counter(check["severity"] for check in checks if check["status"] == "fail")
    found = document_verdict(document)
    said = VERDICTS[found]
    if found == "findings" and not failed["error"] + failed["warning"]:
        said = "Only information was found"
    counted = [(failed[severity], word) for severity, word in WORDS.items()]
    counted.append((sum(check["status"] == "incomplete" for check in checks), "incomplete"))
    parts = ", ".join(f"{number:,} {word}" for number, word in counted if number)
    return f"{said} (checks: {parts})" if parts else said


def _where(run: Mapping[str, Any]) -> str:
    host = run.get("host")
    port = f":{run['port']}" if run.get("port") else ""
    return f"{run['database']} at {host}{port}" if host else str(run["database"])


def _time(at: object) -> str:
    return str(at).replace("T", " ")[:16] + " UTC"


def _news(wrong: Sequence[CheckView], before: Document | None) -> str:
    if before is None:
        return ""
    since = _time(before["run"]["started_at"])
    fresh = [check.name for check in wrong if check.news]
    if not fresh:
        return f"Nothing is new since {since}."
    return f"New since {since}: {', '.join(fresh)}."


def _check(
    check: Mapping[str, Any],
    past: Mapping[str, Any] | None,
    compared: bool,
    explained: Mapping[str, Explained],
) -> CheckView:
    known = {f["fingerprint"] for f in (past or {}).get("findings", ())}
    now = {f["fingerprint"] for f in check["findings"]}
    fresh, gone = check.get("new"), check.get("resolved")
    if fresh is None and compared:
        fresh = len(now - known)
    if gone is None and compared:
        gone = len(known - now)
    # A list that was cut short says nothing of the rows that it leaves out.
    cut = check["truncated"] or bool(past and past["truncated"])
    counted = [f"{n:,} {word}" for n, word in ((fresh, "new"), (gone, "resolved")) if n]
    about = " among those listed" if cut and counted and "new" not in check else ""
    own = explained.get(check["check"])
    shown = check["findings"][:ROWS]
    return CheckView(
        name=check["check"],
        severity=_one_of(SEVERITIES, check["severity"]),
        status=_one_of(STATUSES, check["status"]),
        headline=_headline(check),
        news=", ".join(counted) + about,
        reason=check["reason"] or "",
        explanation=_paragraphs(own.explanation) if own else [],
        sql=textwrap.dedent(own.sql).strip() if own else "",
        rows=[_row(finding, known, compared) for finding in shown],
        hidden=_hidden(check, len(shown)),
        commands=_commands(check),
        resolved=[
            _key(finding)
            for finding in (past or {}).get("findings", ())
            if finding["fingerprint"] not in now and not check["truncated"]
        ],
    )


def _one_of(known: Sequence[str], value: str) -> str:
    if value not in known:
        raise KeyError(f"one of {', '.join(known)}")
    return value


def _headline(check: Mapping[str, Any]) -> str:
    number = check["count"]
    least = "at least " if check["count_is"] == "at_least" else ""
    known = f", {check['known']:,} of them accepted" if check["known"] else ""
    return f"{least}{number:,} finding{'' if number == 1 else 's'}{known}"


def _hidden(check: Mapping[str, Any], shown: int) -> str:
    left = check["count"] - check["known"] - shown
    return f"and {left:,} more" if left > 0 else ""


def _row(finding: Mapping[str, Any], known: set[str], compared: bool) -> Row:
    if since := finding.get("since"):
        news = f"since {_time(since)}"
    else:
        news = "new" if compared and finding["fingerprint"] not in known else ""
    return Row(_key(finding), finding["message"], news)


def _key(finding: Mapping[str, Any]) -> str:
    key = ", ".join(f"{name}={value}" for name, value in finding["key"].items())
    return f"{finding['table']} {key}".strip()


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _commands(check: Mapping[str, Any]) -> list[str]:
    if check["status"] != "fail":
        return []
    name = shlex.quote(printable(check["check"]))
    repair = [f"sexton repair {name} --out plan.json"] if check["repair"] else []
    return [f"sexton explain {name}", *repair]


def _bars(runs: Sequence[Document]) -> list[Bar]:
    if len(runs) < 2:
        return []
    most = max(1, *(run["summary"]["findings"] for run in runs))
    width = 1000 / len(runs)
    bars = []
    for number, document in enumerate(runs):
        summary = document["summary"]
        height = max(8.0, 160 * summary["findings"] / most)
        bars.append(
            Bar(
                x=round(number * width + width * 0.1, 1),
                y=round(170 - height, 1),
                width=round(width * 0.8, 1),
                height=round(height, 1),
                at=_time(document["run"]["started_at"]),
                status=document_verdict(document),
                findings=summary["findings"],
            )
        )
    return bars
