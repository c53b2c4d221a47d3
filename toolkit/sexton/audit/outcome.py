"""What an audit is asked, and what it says: options, findings, outcomes and the run."""

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sexton.audit.queries import BadCheck, Found
from sexton.check import Check

SAMPLE = 5  # findings shown for each check; the count is exact all the same
STATEMENT_TIMEOUT = 60.0  # seconds; an audit must not be the incident
CONFIRM_AFTER = 1.0  # seconds between two looks at a soft reference

Status = Literal["pass", "fail", "incomplete", "skipped"]
Verdict = Literal["clean", "findings", "incomplete"]
FailOn = Literal["info", "warning", "error", "new", "never"]


def verdict_of(statuses: Iterable[str]) -> Verdict:
    """What the statuses of an audit's checks amount to, whatever makes the exit code 1.

    An audit in which every check was skipped examined nothing: it is incomplete.
    """
    found = set(statuses)
    if "incomplete" in found or found <= {"skipped"}:
        return "incomplete"
    return "findings" if "fail" in found else "clean"


def document_verdict(document: Mapping[str, Any]) -> Verdict:
    """The verdict of an audit's document, from its checks."""
    return verdict_of(check["status"] for check in document["checks"])


@dataclass(frozen=True)
class Finding:
    """One violation: the row by its key, and what the check says about it."""

    table: str
    key: dict[str, Any]
    message: str
    values: dict[str, Any]
    fingerprint: str


@dataclass(frozen=True)
class Outcome:
    """What one check found and how it looked, or why it could not look.

    `count` includes the `known`, those that the baseline accepts. `scope` says which
    tables were looked at, with about how many rows.
    """

    check: Check
    status: Status
    reason: str | None = None
    strategy: str = ""
    scope: str = ""
    count: int = 0
    count_is: Literal["exact", "at_least"] = "exact"
    known: int = 0
    findings: list[Finding] = field(default_factory=list)
    matched: list[str] = field(default_factory=list)
    elapsed_ms: float = 0.0

    @property
    def open(self) -> int:
        """How many findings the baseline does not accept."""
        return self.count - self.known

    @property
    def truncated(self) -> bool:
        """Whether there are more new findings than are shown."""
        return self.open > len(self.findings) or self.count_is == "at_least"


@dataclass(frozen=True)
class Run:
    """When, where, as whom and on which snapshot an audit ran."""

    id: str
    started_at: datetime.datetime
    database: str
    server_version: str
    revision: str | None
    snapshot: str
    finished_at: datetime.datetime | None = None
    host: str = ""
    port: int | None = None
    role: str = ""
    project: str = ""
    label: str | None = None
    system: str | None = None


@dataclass(frozen=True)
class Options:
    """How to run an audit; times in seconds, `known` as {check: identities}.

    An identity is the text of the JSON array [table, key].
    """

    sample: int = SAMPLE
    jobs: int = 1
    statement_timeout: float = STATEMENT_TIMEOUT
    deadline: float | None = None
    confirm_after: float = CONFIRM_AFTER
    recheck: bool = False
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    label: str | None = None


def outcome_of(check: Check, found: Found, sample: int) -> Outcome:
    """What a check's rows amount to; raises BadCheck where its message cannot say them."""
    fresh = [row for row in found.rows if not row["sexton known"]]
    all_known = found.count == found.known > 0
    return Outcome(
        check,
        status="fail" if found.count > found.known else "pass",
        reason=f"the baseline knows {found.known:,}" if all_known else None,
        count=found.count,
        known=found.known,
        findings=[_finding(check, row) for row in fresh[:sample]],
        matched=[row["sexton identity"] for row in found.rows if row["sexton known"]],
    )


def _finding(check: Check, row: dict[str, Any]) -> Finding:
    values = {name: value for name, value in row.items() if not name.startswith("sexton ")}
    table = check.table if check.own("table") else values.pop("table", check.table)
    try:
        message = check.message.format_map({"table": table, **values})
    except KeyError as error:
        has = ", ".join(sorted({*values, "table"}))
        raise BadCheck(
            f"its message names {error.args[0]}, but its rows have {has}"
        ) from None
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise BadCheck(f"its message is no template of its rows: {error}") from None
    key = {name: values[name] for name in check.key}
    return Finding(
        table=table,
        key=key,
        message=message,
        values={name: value for name, value in values.items() if name not in key},
        fingerprint=fingerprint(check.name, table, key),
    )


def fingerprint(check: str, table: str, key: Mapping[str, Any]) -> str:
    """What identifies a finding from run to run: check, table and key, and no more."""
    identity = json.dumps([check, table, key], default=str, sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
