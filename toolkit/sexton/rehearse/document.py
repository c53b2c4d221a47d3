"""The document of `sexton rehearse`."""

from typing import Literal

import msgspec

SeverityWord = Literal["error", "warning", "info"]


class TableLock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lock on a table that existed before the revision."""

    table: str
    mode: str


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a finding is accepted, and until which day."""

    reason: str
    until: str | None = None


class Instead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What does the same online: in words, and as a diff of the revision if it is one."""

    text: str
    diff: str | None = None


class RehearsalFinding(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Something that a revision would do to production, or does not do."""

    code: str
    severity: SeverityWord
    file: str
    line: int | None
    message: str
    instead: Instead | None = None
    accepted: Acceptance | None = None

    @property
    def counts(self) -> bool:
        """Whether it makes a rehearsal fail: no information, and not accepted."""
        return self.severity != "info" and not self.accepted


class ObservedStatement(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One statement as it ran.

    `locks` are those it acquired itself; `scanned`, `rewritten` and `built` name tables
    (and indexes) that existed before, or were built on such a table.
    """

    line: int | None
    sql: str
    locks: list[TableLock] = []
    rewritten: list[str] = []
    scanned: list[str] = []
    built: list[str] = []
    estimate_ms: int | None = None
    others_waited_ms: int | None = None


Status = Literal["clean", "findings", "incomplete"]
Proof = Literal["passed", "failed", "not run"]


class Proofs(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What was proved of a revision."""

    up_down_up: Proof = "not run"
    killed_and_resumed: Proof = "not run"
    models_equal: Proof = "not run"
    data: Proof = "not run"


class RehearsedRevision(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One revision; `problem` says why its rehearsal is incomplete."""

    revision: str
    file: str
    statements: list[ObservedStatement] = []
    proofs: Proofs = msgspec.field(default_factory=Proofs)
    findings: list[RehearsalFinding] = []
    problem: str | None = None


class RehearsalSummary(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How it ended; `findings` counts warnings and errors that are not accepted."""

    status: Status
    exit_code: int
    findings: int


class Rehearsal(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `sexton rehearse --format json` prints."""

    schema_version: int = 1
    base: str
    revisions: list[RehearsedRevision]
    summary: RehearsalSummary
