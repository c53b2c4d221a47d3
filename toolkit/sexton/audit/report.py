"""A report: one audit's run and outcomes, and what they amount to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sexton import __version__
from sexton.audit.baseline import Comparison
from sexton.audit.outcome import Finding, Outcome, Run, Status
from sexton.check import Severity
from sexton.errors import DONE, FINDINGS, INCOMPLETE

SCHEMA_VERSION = 1

Verdict = Literal["clean", "findings", "incomplete"]
CODES: dict[Verdict, int] = {
    "clean": DONE,
    "findings": FINDINGS,
    "incomplete": INCOMPLETE,
}


@dataclass(frozen=True)
class Report:
    """What an audit found. `values` tells whether documents show more than keys."""

    run: Run
    outcomes: Sequence[Outcome]
    fail_on: Severity | None = Severity.WARNING
    comparison: Comparison | None = None
    values: bool = False

    @property
    def verdict(self) -> Verdict:
        """`incomplete`, else `findings` at or above `fail_on`, else `clean`.

        Where every check was skipped nothing was looked at, and that is not clean.
        """
        statuses = {outcome.status for outcome in self.outcomes}
        if "incomplete" in statuses or statuses <= {"skipped"}:
            return "incomplete"
        failed = [o for o in self.outcomes if o.status == "fail"]
        if self.fail_on and any(o.check.severity.rank >= self.fail_on.rank for o in failed):
            return "findings"
        return "clean"

    @property
    def code(self) -> int:
        """The exit code."""
        return CODES[self.verdict]

    def counted(self, status: Status) -> int:
        """How many checks ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)

    def document(self) -> dict[str, Any]:
        """The document that `audit --format json` prints; audit.schema.json has its form.

        Only with a baseline does it have the key `baseline`.
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
        return document

    def _check(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "check": outcome.check.name,
            "severity": outcome.check.severity,
            "status": outcome.status,
            "reason": outcome.reason,
            "strategy": outcome.strategy or None,
            "count": outcome.count,
            "count_is": outcome.count_is,
            "known": outcome.known,
            "findings": [self._finding(finding) for finding in outcome.findings],
            "truncated": outcome.truncated,
            "elapsed_ms": outcome.elapsed_ms,
            "repair": bool(outcome.check.repairs),
            **_coverage(outcome),
        }

    def _finding(self, finding: Finding) -> dict[str, Any]:
        return {
            "table": finding.table,
            "key": finding.key,
            "message": finding.message,
            "values": finding.values if self.values else {},
            "fingerprint": finding.fingerprint,
        }


def _coverage(outcome: Outcome) -> dict[str, Any]:
    """How far a scan with a cursor has come; nothing for all others."""
    if outcome.covered is None:
        return {}
    last = outcome.last_full_pass
    covered = {"covered": round(outcome.covered, 4), "last_full_pass": last}
    return {"coverage": covered}
