"""A report: one audit's run and outcomes, and what they amount to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sexton import __version__
from sexton.audit.outcome import Finding, Outcome, Run, Status
from sexton.check import Severity
from sexton.errors import DONE, FINDINGS, INCOMPLETE

if TYPE_CHECKING:
    from sexton.audit.baseline import Comparison
    from sexton.audit.since import Change

SCHEMA_VERSION = 2

Verdict = Literal["clean", "findings", "incomplete"]
CODES: dict[Verdict, int] = {
    "clean": DONE,
    "findings": FINDINGS,
    "incomplete": INCOMPLETE,
}


@dataclass(frozen=True)
class Report:
    """What an audit found. `values` tells whether documents show more than keys.

    `changes` are those since the run in the file `since`, by check. With `only_new`,
    findings that were there then fail no more. `exit_code` is the command's, where that
    is not the verdict's.
    """

    run: Run
    outcomes: Sequence[Outcome]
    fail_on: Severity | None = Severity.WARNING
    comparison: "Comparison | None" = None
    values: bool = False
    since: str | None = None
    changes: Mapping[str, "Change"] = field(default_factory=dict)
    only_new: bool = False
    exit_code: int | None = None

    @property
    def verdict(self) -> Verdict:
        """`incomplete`, else `findings` at or above `fail_on`, else `clean`.

        Where every check was skipped nothing was looked at, and that is not clean.
        """
        statuses = {outcome.status for outcome in self.outcomes}
        if "incomplete" in statuses or statuses <= {"skipped"}:
            return "incomplete"
        return "findings" if any(map(self.fails, self.outcomes)) else "clean"

    def fails(self, outcome: Outcome) -> bool:
        """Whether a check's findings make the exit code 1."""
        if outcome.status != "fail" or self.fail_on is None:
            return False
        if outcome.check.severity.rank < self.fail_on.rank:
            return False
        change = self.changes.get(outcome.check.name)
        # Where only numbers could be compared, one may have come for one that went.
        return not (self.only_new and change and change.exact and not change.new)

    @property
    def code(self) -> int:
        """The exit code."""
        return CODES[self.verdict] if self.exit_code is None else self.exit_code

    def counted(self, status: Status) -> int:
        """How many checks ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)

    def document(self) -> dict[str, Any]:
        """The document that `audit --format json` prints; audit.schema.json has its form.

        Only with a baseline does it have the key `baseline`, and only with an earlier run
        the key `since`.
        """
        run = self.run
        document = {
            "schema_version": SCHEMA_VERSION,
            "run": {
                "id": run.id,
                "tool_version": __version__,
                "started_at": run.started_at,
                "finished_at": run.finished_at,
                "database": run.database,
                "host": run.host,
                "port": run.port,
                "role": run.role,
                "project": run.project,
                "label": run.label,
                "server_version": run.server_version,
                "revision": run.revision,
                "snapshot": run.snapshot,
            },
            "summary": {
                "status": self.verdict,
                "passed": self.counted("pass"),
                "failed": self.counted("fail"),
                "incomplete": self.counted("incomplete"),
                "skipped": self.counted("skipped"),
                "findings": sum(outcome.new for outcome in self.outcomes),
            },
            "checks": [self._check(outcome) for outcome in self.outcomes],
        }
        if self.comparison:
            document["baseline"] = self.comparison.document()
        if self.since:
            document["since"] = {"file": self.since}
        return document

    def _check(self, outcome: Outcome) -> dict[str, Any]:
        change = self.changes.get(outcome.check.name)
        document: dict[str, Any] = {
            "check": outcome.check.name,
            "severity": outcome.check.severity,
            "status": outcome.status,
            "reason": outcome.reason,
            "strategy": outcome.strategy or None,
            "count": outcome.count,
            "count_is": outcome.count_is,
            "known": outcome.known,
            "findings": [self._finding(f, change) for f in outcome.findings],
            "truncated": outcome.truncated,
            "elapsed_ms": outcome.elapsed_ms,
            "repair": bool(outcome.check.repairs),
        }
        if change:
            document["new"] = change.new
            document["persisting"] = change.persisting
            document["resolved"] = change.resolved
            document["compared"] = change.reason
        return document

    def _finding(self, finding: Finding, change: "Change | None") -> dict[str, Any]:
        document: dict[str, Any] = {
            "table": finding.table,
            "key": finding.key,
            "message": finding.message,
            "values": finding.values if self.values else {},
            "fingerprint": finding.fingerprint,
        }
        if change:
            document["since"] = change.since.get(finding.fingerprint)
        return document
