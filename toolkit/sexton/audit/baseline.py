"""Baseline: the findings that are known and accepted, each by its identity.

A file of JSON, made to be kept beside the code and read in a review:

    {"schema_version": 1, "known": [
      {"check": "…", "table": "…", "key": {…}, "reason": "…", "owner": "…",
       "expires": "2027-01-31"}
    ]}

`reason`, `owner` and `expires` may be null. An expired entry counts no more.
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sexton.audit.outcome import Outcome
from sexton.audit.queries import identity
from sexton.errors import Refused, UsageError
from sexton.files import replace_file
from sexton.text import exact
from sexton.text.printable import shown
from sexton.text.storable import unstorable

SCHEMA_VERSION = 1
LIMIT = 10_000  # findings of one check; nobody reviews more


@dataclass(frozen=True)
class Entry:
    """One accepted finding."""

    check: str
    table: str
    key: dict[str, Any]
    reason: str | None = None
    owner: str | None = None
    expires: datetime.date | None = None

    @property
    def identity(self) -> str:
        """Its table and key, as text."""
        return identity(self.table, self.key)

    def document(self) -> dict[str, Any]:
        """The entry as it stands in the file."""
        return asdict(self) | {"expires": self.expires and self.expires.isoformat()}


@dataclass(frozen=True)
class Comparison:
    """A baseline compared with an audit: which entries hold no longer."""

    file: str
    stale: Sequence[Entry]
    expired: Sequence[Entry]

    def document(self) -> dict[str, Any]:
        """What the report's document says of it."""
        return {
            "file": self.file,
            "stale": [entry.document() for entry in self.stale],
            "expired": [entry.document() for entry in self.expired],
        }


@dataclass(frozen=True)
class Baseline:
    """The entries of a file, on a day."""

    file: Path
    entries: Sequence[Entry]
    today: datetime.date

    def _expired(self, entry: Entry) -> bool:
        return entry.expires is not None and entry.expires < self.today

    def known(self) -> dict[str, list[str]]:
        """The identities that are accepted today, by check."""
        known: dict[str, list[str]] = {}
        for entry in self.entries:
            if not self._expired(entry):
                known.setdefault(entry.check, []).append(entry.identity)
        return known

    def compare(self, outcomes: Sequence[Outcome], checks: Iterable[str]) -> Comparison:
        """Which entries were looked for and not found, or name no check; which expired."""
        ran = {
            outcome.check.name: set(outcome.matched)
            for outcome in outcomes
            if outcome.status in ("pass", "fail") and outcome.count_is == "exact"
        }
        names = set(checks)
        return Comparison(
            str(self.file),
            stale=[
                entry
                for entry in self.entries
                if not self._expired(entry)
                and (
                    entry.check not in names
                    or (entry.check in ran and entry.identity not in ran[entry.check])
                )
            ],
            expired=[entry for entry in self.entries if self._expired(entry)],
        )


def load(file: Path, *, today: datetime.date | None = None) -> Baseline:
    """Read a baseline; raises UsageError where the file is none."""
    try:
        document = exact.loads(file.read_text(encoding="utf-8"))
        if document["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"its schema_version is not {SCHEMA_VERSION}")
        entries = [_entry(known) for known in document["known"]]
    except OSError as error:
        raise UsageError(
            f"cannot read the baseline {shown(file)}: {error.strerror}",
            hint=f"to make one: sexton audit --write-baseline {shown(file)}",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else error
        raise UsageError(
            f"{shown(file)} is not a baseline: {said}",
            hint=f"to make one: sexton audit --write-baseline {shown(file)}",
        ) from None
    return Baseline(file, entries, today or datetime.datetime.now(datetime.UTC).date())


def _entry(known: dict[str, Any]) -> Entry:
    if why := unstorable(known):
        raise ValueError(f"an entry holds {why}")
    expires = known.get("expires")
    return Entry(
        check=str(known["check"]),
        table=str(known["table"]),
        key=dict(known["key"]),
        reason=known.get("reason"),
        owner=known.get("owner"),
        expires=datetime.date.fromisoformat(expires) if expires else None,
    )


@dataclass(frozen=True)
class BaselineDiff:
    """What writing a baseline did to its entries."""

    kept: int
    added: int
    removed: int


def write(
    file: Path,
    before: Baseline | None,
    outcomes: Sequence[Outcome],
    *,
    allow_additions: bool,
    reason: str | None = None,
    owner: str | None = None,
    expires: datetime.date | None = None,
) -> BaselineDiff:
    """Write what an audit found as the baseline: what is cured goes, what is new comes.

    `outcomes` must show all their findings. Entries of checks that could not look stay.
    A file that is there grows only where `allow_additions` says so; otherwise Refused is
    raised and the file stays as it was.
    """
    for outcome in outcomes:
        if outcome.truncated:
            raise Refused(
                f"{outcome.check.name} has {outcome.count:,} findings: too many to accept "
                "one by one; the baseline stays as it was",
                hint=f"cure them first: sexton explain {outcome.check.name}",
            )
    added = [
        Entry(outcome.check.name, f.table, f.key, reason, owner, expires)
        for outcome in outcomes
        for f in outcome.findings
    ]
    kept = []
    if before:
        gone = before.compare(outcomes, [o.check.name for o in outcomes])
        dropped = {(entry.check, entry.identity) for entry in (*gone.stale, *gone.expired)}
        kept = [e for e in before.entries if (e.check, e.identity) not in dropped]
        if added and not allow_additions:
            raise Refused(
                f"{len(added):,} findings are not in {shown(file)}, and it would grow; "
                "it stays as it was",
                hint="cure them, or accept them: --allow-additions",
            )
    entries = sorted(kept + added, key=lambda entry: (entry.check, entry.identity))
    document = {
        "schema_version": SCHEMA_VERSION,
        "known": [entry.document() for entry in entries],
    }
    text = exact.dumps(document, indent=2, ensure_ascii=False) + "\n"
    replace_file(file, text)
    return BaselineDiff(
        len(kept), len(added), len(before.entries if before else ()) - len(kept)
    )
