"""Baseline: the findings that are known and accepted, each by its identity.

A file of JSON, made to be kept beside the code and read in a review:

    {"schema_version": 2, "head": {…}, "known": [
      {"check": "…", "table": "…", "key": {…}, "reason": "…", "owner": "…",
       "expires": "2027-01-31"}
    ]}

`head` says of which database it is, and how its checks were defined: for another one,
nothing in it is accepted. `reason`, `owner` and `expires` may be null. An expired entry
counts no more.
"""

import datetime
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from sexton import documents
from sexton.audit.outcome import Outcome
from sexton.audit.queries import identity
from sexton.documents import Head, changed_checks, require_same
from sexton.errors import Refused
from sexton.files import replace_file
from sexton.text import exact
from sexton.text.printable import shown

SCHEMA_VERSION: Literal[2] = 2
LIMIT = 10_000  # findings of one check; nobody reviews more


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class SavedBaseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema_version: Literal[2]
    head: Head
    known: list[Entry]


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
    head: Head
    entries: Sequence[Entry]
    today: datetime.date

    def require_same(self, asked: Head) -> None:
        """Insist that the baseline is about this database and these checks."""
        file = shlex.quote(str(self.file))
        again = f"sexton audit --write-baseline {file} --allow-additions"
        require_same(self.file, self.head, asked, hint=f"accept what is found now: {again}")

    def _expired(self, entry: Entry) -> bool:
        return entry.expires is not None and entry.expires < self.today

    def known(self, checks: Mapping[str, str] | None = None) -> dict[str, list[str]]:
        """The identities that are accepted today, by check.

        Of `checks`, by name and definition, those that have changed have none.
        """
        known: dict[str, list[str]] = {}
        changed = changed_checks(self.head, checks or {})
        for entry in self.entries:
            if not (self._expired(entry) or entry.check in changed):
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
    """Read a baseline; raises UsageError if the file is none."""
    hint = "to make one: sexton audit --write-baseline FILE"
    found = documents.load(file, SavedBaseline, noun="baseline", hint=hint)
    today = today or datetime.datetime.now(datetime.UTC).date()
    return Baseline(file, found.head, found.known, today)


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
    head: Head,
    *,
    allow_additions: bool,
    reason: str | None = None,
    owner: str | None = None,
    expires: datetime.date | None = None,
) -> BaselineDiff:
    """Write what an audit found as the baseline: what is cured goes, what is new comes.

    `outcomes` must show all their findings. Entries of checks that could not look stay.
    A file that is there grows only if `allow_additions` says so; otherwise Refused is
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
    defined = {**(before.head.checks if before else {}), **head.checks}
    accepted = {entry.check for entry in entries}
    checks = {name: digest for name, digest in defined.items() if name in accepted}
    head = msgspec.structs.replace(head, revision=None, checks=checks)
    document = msgspec.to_builtins(SavedBaseline(SCHEMA_VERSION, head, entries))
    text = exact.dumps(document, indent=2, ensure_ascii=False) + "\n"
    replace_file(file, text)
    return BaselineDiff(
        len(kept), len(added), len(before.entries if before else ()) - len(kept)
    )
