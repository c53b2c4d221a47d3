"""One report over a fleet: the worst first, and what is alike said once."""

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from sexton import __version__, documents
from sexton.audit.outcome import FailOn, Verdict
from sexton.documents import Head, require_same
from sexton.errors import BUSY, DONE, FINDINGS, INCOMPLETE, REFUSED, UsageError
from sexton.fleet.state import Record
from sexton.text.printable import printable, shown

SCHEMA_VERSION = 1
# The worst first. What was not looked at is worse than what was found.
RANK = ("unreachable", "incomplete", "refused", "busy", "findings", "applied", "clean")
OF_A_SHARD = ("shard", "targets")  # options in which the shards of one run may differ
_SHARD = re.compile(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,4})")
CODES = {
    "unreachable": INCOMPLETE,
    "incomplete": INCOMPLETE,
    "refused": REFUSED,
    "busy": BUSY,
    "findings": FINDINGS,
}


def fleet_verdict(statuses: Iterable[str]) -> Verdict:
    """What the statuses of a fleet's targets amount to."""
    codes = {CODES.get(status, DONE) for status in statuses}
    if codes - {DONE, FINDINGS}:
        return "incomplete"
    return "findings" if FINDINGS in codes else "clean"


@dataclass
class FleetReport:
    """The records of a run, kept small: of a clean target only what tells it apart."""

    kind: str
    started_at: str
    finished_at: str = ""
    shard: str = "1/1"
    fail_on: FailOn | None = None
    missing: list[str] = field(default_factory=list)
    resumed: int = 0
    head: Head | None = None
    records: list[Record] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Take a target's record."""
        self.records.append(record)

    def finish(self) -> None:
        """Put the worst first, and note the time."""
        self.finished_at = now()
        self.records.sort(key=lambda r: (RANK.index(r["status"]), -_weight(r), r["target"]))

    @property
    def counts(self) -> dict[str, int]:
        """How many targets ended how, the worst first."""
        counted = Counter(record["status"] for record in self.records)
        return {status: counted[status] for status in RANK if counted[status]}

    @property
    def code(self) -> int:
        """The exit code: 3 if any target was not examined, else that of the worst one.

        Findings count if they reached the threshold of their target.
        """
        if self.missing:
            return INCOMPLETE
        found = next((status for status in self.counts if status in CODES), None)
        if found == "findings" and all(
            record["code"] == DONE for record in self._with(found)
        ):
            return DONE
        return CODES[found] if found else DONE

    @property
    def status(self) -> Verdict:
        """What was found, whatever makes the exit code 1."""
        return "incomplete" if self.missing else fleet_verdict(self.counts)

    def _with(self, status: str) -> list[Record]:
        return [record for record in self.records if record["status"] == status]

    def versions(self) -> dict[str, int]:
        """How many targets are at which revision."""
        counted = Counter(str(r.get("revision") or "none") for r in self.records)
        return dict(sorted(counted.items()))

    def document(self) -> dict[str, Any]:
        """The document that `sexton fleet … --format json` prints; fleet.schema.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "fleet": {
                "kind": self.kind,
                "tool_version": __version__,
                "started_at": self.started_at,
                "finished_at": self.finished_at,
                "shard": self.shard,
                "missing": self.missing,
                "resumed": self.resumed,
            },
            "head": msgspec.to_builtins(self.head),
            "summary": {
                "targets": len(self.records),
                **{status: self.counts.get(status, 0) for status in RANK},
                "versions": self.versions(),
                "status": self.status,
                "code": self.code,
                "exit_code": self.code,
                "fail_on": self.fail_on,
            },
            "targets": self.records,
        }


def _weight(record: Record) -> int:
    return int(record.get("findings") or 0)


def now() -> str:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class SavedCheck(msgspec.Struct, frozen=True):
    """A check that did not pass on a target."""

    check: str
    status: str
    count: int = 0


class SavedRecord(msgspec.Struct, frozen=True):
    """What became of a target."""

    target: str
    status: Literal[RANK]  # type: ignore[valid-type]
    code: int
    reason: str | None = None
    hint: str | None = None
    server: str | None = None
    revision: str | None = None
    findings: int = 0
    checks: list[SavedCheck] = []


class SavedRun(msgspec.Struct, frozen=True):
    """What was done on the targets, and which part of them they are."""

    kind: Literal["audit", "status", "upgrade"]
    started_at: str
    finished_at: str = ""
    shard: str = "1/1"
    missing: list[str] = []
    resumed: int = 0


class SavedSummary(msgspec.Struct, frozen=True):
    """The targets in numbers."""

    targets: int
    versions: dict[str, int]
    fail_on: FailOn | None = None


class SavedFleet(msgspec.Struct, frozen=True):
    """The document of a fleet. Its `head` says which question it answers."""

    fleet: SavedRun
    summary: SavedSummary
    targets: list[SavedRecord]
    head: Head | None = None


def merge(files: Sequence[Path]) -> FleetReport:
    """One report from those of the shards; raises UsageError if they do not fit.

    What no report covers is missing, and makes the whole incomplete.
    """
    hint = "to make one: sexton fleet audit --shard I/N --format json > PART.json"
    plain = [
        documents.load_plain(file, SavedFleet, noun="fleet report", hint=hint)
        for file in files
    ]
    parts = [msgspec.convert(part, SavedFleet) for part in plain]
    kinds = {part.fleet.kind for part in parts}
    if len(kinds) != 1:
        raise UsageError(
            f"the reports are of different kinds: {', '.join(sorted(kinds))}",
            hint="merge the shards of one run",
        )
    records = [record for part in plain for record in part["targets"]]
    names = Counter(record["target"] for record in records)
    if twice := sorted(name for name, number in names.items() if number > 1)[:3]:
        raise UsageError(
            printable(f"two of the reports contain {', '.join(twice)}"),
            hint="merge each shard once",
        )
    head = _one_head(files, parts)
    shards, missing = _shards(part.fleet for part in parts)
    listed = {part.head.options.get("targets") for part in parts if part.head}
    if len(listed) > 1 and {part.fleet.shard for part in parts} != {"1/1"}:
        missing.append("targets that the shards' inventories do not share")
    whole = FleetReport(
        parts[0].fleet.kind,
        min(part.fleet.started_at for part in parts),
        shard=shards,
        fail_on=parts[0].summary.fail_on,
        missing=missing,
        resumed=sum(part.fleet.resumed for part in parts),
        head=head,
        records=records,
    )
    whole.finish()
    whole.finished_at = max(part.fleet.finished_at for part in parts)
    return whole


def _one_head(files: Sequence[Path], parts: Sequence[SavedFleet]) -> Head | None:
    """The question that all parts answer; raises Refused if they answer several."""
    first = parts[0].head
    for file, part in zip(files, parts, strict=True):
        if (first is None) != (part.head is None):
            raise UsageError(
                f"{shown(file)} alone says what it is about, or alone does not",
                hint="merge the shards of one run",
            )
        if first and part.head:
            hint = "merge the shards of one run"
            require_same(file, part.head, first, hint=hint, free=OF_A_SHARD)
    return first


def _shards(runs: Iterable[SavedRun]) -> tuple[str, list[str]]:
    """Which shards there are, 1/1 if all are, and which are missing.

    Raises UsageError for shards of different numbers.
    """
    there: list[str] = []
    missing: list[str] = []
    for run in runs:
        there += run.shard.split("+")
        missing += [what for what in run.missing if not _SHARD.fullmatch(what)]
    matches = [_SHARD.fullmatch(shard) for shard in there]
    of = {int(found[2]) for found in matches if found}
    numbers = {int(found[1]) for found in matches if found}
    if None in matches or len(of) != 1 or max(numbers) > max(of):
        raise UsageError(
            printable(
                f"the reports are of the shards {', '.join(there)}, which do not fit"
            ),
            hint="merge the shards of one run",
        )
    [number] = of
    absent = [f"{n}/{number}" for n in range(1, number + 1) if n not in numbers]
    present = [f"{n}/{number}" for n in sorted(numbers)]
    return ("+".join(present) if absent else "1/1"), [*absent, *missing]
