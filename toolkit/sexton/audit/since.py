"""Since: what is new, what persists and what is resolved since an earlier run.

The earlier run is a document that `audit --format json` printed. Findings are compared by
their fingerprints. A document that lists fewer findings than it counts cannot tell which
of them are new: then the numbers are compared, and that is said.
"""

import datetime
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sexton.audit.outcome import Outcome
from sexton.errors import UsageError
from sexton.text.printable import shown

LIMIT = 10_000  # findings of a check that are compared one by one


@dataclass(frozen=True)
class Seen:
    """A check in the earlier run: its findings, each with when it was first seen."""

    looked: bool
    new: int
    listed: Mapping[str, str]

    @property
    def whole(self) -> bool:
        """Whether all its findings are listed."""
        return self.new <= len(self.listed)


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
    """An earlier run, as its document tells it."""

    file: str
    started_at: str
    database: str
    checks: Mapping[str, Seen]
    document: Mapping[str, Any]

    def compare(self, outcome: Outcome, now: datetime.datetime) -> Change:
        """What became of a check's findings; all that are new to it are seen `now`."""
        today = now.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
        if outcome.status not in ("pass", "fail"):
            return Change(None, None, None, {})
        prints = [finding.fingerprint for finding in outcome.findings]
        seen = self.checks.get(outcome.check.name)
        if seen is None or not seen.looked:
            why = "did not look at it" if seen else "does not have it"
            everything = dict.fromkeys(prints, today)
            return Change(
                *(outcome.open, 0, 0, everything, True),
                f"{shown(self.file)} {why}: all are new",
            )
        if not seen.whole or outcome.truncated:
            lists = self.file if not seen.whole else "this run"
            new = max(outcome.open - seen.new, 0)
            return Change(
                new,
                outcome.open - new,
                max(seen.new - outcome.open, 0),
                {p: seen.listed.get(p) for p in prints},
                exact=False,
                reason=f"{lists} lists fewer findings than it counts, so only their "
                "numbers are compared; --sample N lists more",
            )
        fresh = [p for p in prints if p not in seen.listed]
        return Change(
            len(fresh),
            len(prints) - len(fresh),
            len(seen.listed.keys() - prints),
            {p: seen.listed.get(p, today) for p in prints},
        )


def shortened(outcome: Outcome, before: Before | None, sample: int) -> Outcome:
    """The outcome with a sample of its findings, those that are new first."""
    seen = before.checks.get(outcome.check.name) if before else None
    listed = seen.listed if seen else {}
    findings = sorted(outcome.findings, key=lambda f: f.fingerprint in listed)
    return replace(outcome, findings=findings[:sample])


def load(file: Path) -> Before:
    """Read the document of an earlier run; raises UsageError where the file is none."""
    hint = f"make one: sexton audit --sample {LIMIT} -o {shlex.quote(f'json:{file}')}"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        run = document["run"]
        return Before(
            str(file),
            _text(run["started_at"]),
            _text(run["database"]),
            {_text(c["check"]): _seen(c, run["started_at"]) for c in document["checks"]},
            document,
        )
    except OSError as error:
        raise UsageError(
            f"cannot read the run {shown(file)}: {error.strerror or error}", hint=hint
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else error
        raise UsageError(
            f"{shown(file)} is no document of an audit: {said}", hint=hint
        ) from None


def _seen(check: dict[str, Any], started_at: str) -> Seen:
    return Seen(
        looked=check["status"] in ("pass", "fail"),
        new=int(check["count"]) - int(check["known"]),
        listed={
            _text(f["fingerprint"]): _text(f.get("since") or started_at)
            for f in check["findings"]
        },
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def changes(
    before: Before, outcomes: Sequence[Outcome], now: datetime.datetime
) -> dict[str, Change]:
    """What became of each check's findings, by the check's name."""
    return {o.check.name: before.compare(o, now) for o in outcomes}
