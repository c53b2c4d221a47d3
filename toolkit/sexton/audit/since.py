"""Since: what is new, what persists and what is resolved since an earlier run.

The earlier run is a document that `audit --format json` printed. Findings are compared by
their fingerprints. A document that lists fewer findings than it counts cannot tell which
of them are new: then the numbers are compared, and that is said.
"""

import datetime
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from sexton import documents
from sexton.audit.outcome import Outcome, Run
from sexton.audit.saved import SavedAudit, SavedCheck
from sexton.check import Check
from sexton.documents import Head, changed_checks, require_same
from sexton.text.printable import shown

LIMIT = 10_000  # findings of a check that are compared one by one


@dataclass(frozen=True)
class Change:
    """How a check's findings differ from the earlier run's, and when each was first seen.

    The numbers are None where one of the runs did not look. Where they are not `exact`
    only counts were compared, and `reason` says why.
    """

    new: int | None
    persisting: int | None
    resolved: int | None
    since: Mapping[str, str | None]
    exact: bool = True
    reason: str | None = None


@dataclass(frozen=True)
class Before:
    """An earlier run: the file, what it says, and the same as plain values."""

    file: Path
    audit: SavedAudit
    document: Mapping[str, Any]

    @cached_property
    def checks(self) -> dict[str, SavedCheck]:
        """What the checks of the run found, by name."""
        return {check.check: check for check in self.audit.checks}

    def seen(self, name: str) -> dict[str, str]:
        """The findings of a check, by fingerprint, with when each was first seen."""
        check = self.checks.get(name)
        run = self.audit.run
        listed = check.findings if check else ()
        return {found.fingerprint: found.since or run.started_at for found in listed}

    def require_same_database(self, run: Run) -> None:
        """Insist that the earlier run looked at the database of this one."""
        head = self.audit.head or Head(command="audit", at=run.started_at)
        was = msgspec.structs.replace(head, database=self.audit.run.database or None)
        asked = Head(
            command="audit",
            at=run.started_at,
            database=run.database or None,
            system=run.system,
        )
        hint = "give --since a run on the same database"
        require_same(self.file, was, asked, hint=hint)

    def compare(self, outcome: Outcome, now: datetime.datetime) -> Change:
        """What became of a check's findings; all that are new to it are seen `now`."""
        today = now.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
        if outcome.status not in ("pass", "fail"):
            return Change(None, None, None, {})
        check = outcome.check
        prints = [finding.fingerprint for finding in outcome.findings]
        before = self.checks.get(check.name)
        if before is None or (why := self._incomparable(before, check)):
            why = "does not have it" if before is None else why
            everything = dict.fromkeys(prints, today)
            return Change(
                *(outcome.open, 0, 0, everything, True),
                f"{shown(self.file)} {why}: all are new",
            )
        seen = self.seen(check.name)
        if before.open > len(seen) or outcome.truncated:
            lists = shown(self.file) if before.open > len(seen) else "this run"
            new = max(outcome.open - before.open, 0)
            return Change(
                new,
                outcome.open - new,
                max(before.open - outcome.open, 0),
                {p: seen.get(p) for p in prints},
                exact=False,
                reason=f"{lists} lists fewer findings than it counts, so only their "
                "numbers are compared; --sample N lists more",
            )
        fresh = [p for p in prints if p not in seen]
        return Change(
            len(fresh),
            len(prints) - len(fresh),
            len(seen.keys() - prints),
            {p: seen.get(p, today) for p in prints},
        )

    def _incomparable(self, before: SavedCheck, check: Check) -> str | None:
        """Why the earlier findings of a check cannot be compared; None if they can."""
        if before.status not in ("pass", "fail"):
            return "did not look at it"
        head = self.audit.head
        if head and changed_checks(head, {check.name: check.definition}):
            return "has it by another definition"
        return None


def shortened(outcome: Outcome, before: Before | None, sample: int) -> Outcome:
    """The outcome with a sample of its findings, those that are new first."""
    listed = before.seen(outcome.check.name) if before else {}
    findings = sorted(outcome.findings, key=lambda f: f.fingerprint in listed)
    return replace(outcome, findings=findings[:sample])


def load(file: Path) -> Before:
    """Read the document of an earlier run; raises UsageError if the file is none."""
    hint = f"make one: sexton audit --sample {LIMIT} -o {shlex.quote(f'json:{file}')}"
    noun = "document of an audit"
    plain = documents.load_plain(file, SavedAudit, noun=noun, hint=hint)
    return Before(file, msgspec.convert(plain, SavedAudit), plain)


def changes(
    before: Before, outcomes: Sequence[Outcome], now: datetime.datetime
) -> dict[str, Change]:
    """What became of each check's findings, by the check's name."""
    return {o.check.name: before.compare(o, now) for o in outcomes}
