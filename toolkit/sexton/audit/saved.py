"""The documents of audits as they are read again: by --since, by the page, by a webhook."""

from typing import Any, Literal

import msgspec

from sexton import documents
from sexton.audit.outcome import Status
from sexton.check import Severity

Moment = str | None


class SavedFinding(msgspec.Struct, frozen=True):
    """One finding, with when it was first seen, if an earlier run was compared."""

    table: str
    key: dict[str, Any]
    fingerprint: str
    message: str = ""
    since: Moment = None


class SavedCheck(msgspec.Struct, frozen=True):
    """What one check found."""

    check: str
    severity: Severity
    status: Status
    count: int
    known: int
    findings: list[SavedFinding]
    count_is: Literal["exact", "at_least"] = "exact"
    reason: str | None = None
    truncated: bool = False
    repair: bool = False
    new: int | None = None
    resolved: int | None = None

    @property
    def open(self) -> int:
        """How many findings the baseline did not accept."""
        return self.count - self.known


class SavedRun(msgspec.Struct, frozen=True):
    """Where and when an audit ran."""

    started_at: str
    database: str
    project: str | None = None
    label: str | None = None
    host: str | None = None
    port: int | None = None


class SavedSummary(msgspec.Struct, frozen=True):
    """What an audit found, in numbers."""

    findings: int


class SavedAudit(msgspec.Struct, frozen=True):
    """The document of an audit. Its `head` says which question it answers."""

    run: SavedRun
    checks: list[SavedCheck]
    summary: SavedSummary = SavedSummary(0)
    head: documents.Head | None = None
