"""A report: one audit's run and outcomes, and what they amount to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from sexton import __version__
from sexton.audit.outcome import FailOn, Finding, Outcome, Run, Status, Verdict, verdict_of
from sexton.check import Severity
from sexton.documents import Head
from sexton.errors import DONE, FINDINGS, INCOMPLETE

if TYPE_CHECKING:
    from sexton.audit.baseline import Comparison
    from sexton.audit.since import Change

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Report:
    """What an audit found. `values` tells whether documents show more than keys.

    `changes` are those since the run in the file `since`, by check. `fail_on` decides the
    exit code alone, never the status; `exit_code` is the command's if it is another one.
    """

    run: Run
    outcomes: Sequence[Outcome]
    fail_on: FailOn = "warning"
    comparison: "Comparison | None" = None
    values: bool = False
    since: str | None = None
    changes: Mapping[str, "Change"] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def status(self) -> Verdict:
        """What was found: `incomplete`, else `findings`, else `clean`."""
        return verdict_of(outcome.status for outcome in self.outcomes)

    @property
    def threshold(self) -> Severity | None:
        """The least severity that makes the exit code 1; None if none does."""
        if self.fail_on == "never":
            return None
        return Severity.WARNING if self.fail_on == "new" else Severity(self.fail_on)

    def reaches(self, outcome: Outcome) -> bool:
        """Whether a check's severity is at or above the threshold."""
        threshold = self.threshold
        return threshold is not None and outcome.check.severity.rank >= threshold.rank

    def _fails(self, outcome: Outcome) -> bool:
        """Whether a check's findings make the exit code 1."""
        if outcome.status != "fail" or not self.reaches(outcome):
            return False
        change = self.changes.get(outcome.check.name)
        if self.fail_on != "new" or change is None:
            return True
        # If only numbers could be compared, a new finding may hide a resolved one.
        return not change.exact or bool(change.new)

    @property
    def code(self) -> int:
        """The exit code."""
        if self.exit_code is not None:
            return self.exit_code
        if self.status == "incomplete":
            return INCOMPLETE
        return FINDINGS if any(map(self._fails, self.outcomes)) else DONE

    def counted(self, status: Status) -> int:
        """How many checks ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def head(self) -> Head:
        """The question that this report answers."""
        return Head(
            command="audit",
            at=self.run.started_at,
            revision=self.run.revision,
            checks={o.check.name: o.check.definition for o in self.outcomes},
            database=self.run.database or None,
            system=self.run.system,
        )

    def document(self) -> dict[str, Any]:
        """The document that `audit --format json` prints; audit.schema.json has its form.

        Only with a baseline does it have the key `baseline`, and only with an earlier run
        the key `since`.
        """
        run = self.run
        document = {
            "schema_version": SCHEMA_VERSION,
            "head": msgspec.to_builtins(self.head),
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
                "status": self.status,
                "exit_code": self.code,
                "fail_on": self.fail_on,
                "passed": self.counted("pass"),
                "failed": self.counted("fail"),
                "incomplete": self.counted("incomplete"),
                "skipped": self.counted("skipped"),
                "findings": sum(outcome.open for outcome in self.outcomes),
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
