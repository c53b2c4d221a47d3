"""One report over a fleet: the worst first, and what is alike said once."""

import datetime
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sexton import __version__
from sexton.audit.outcome import FailOn, Verdict
from sexton.errors import BUSY, DONE, FINDINGS, INCOMPLETE, REFUSED, UsageError
from sexton.fleet.state import Record
from sexton.text.printable import shown

SCHEMA_VERSION = 1
# The worst first. What was not looked at is worse than what was found.
RANK = ("unreachable", "incomplete", "refused", "busy", "findings", "applied", "clean")
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
        found = next((status for status in self.counts if status in CODES), None)
        if found == "findings" and all(
            record["code"] == DONE for record in self._with(found)
        ):
            return DONE
        return CODES[found] if found else DONE

    @property
    def status(self) -> Verdict:
        """What was found, whatever makes the exit code 1."""
        return fleet_verdict(self.counts)

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
            },
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


def merge(files: Sequence[Path]) -> FleetReport:
    """One report from those of the shards; raises UsageError where they do not fit."""
    parts = [_read(file) for file in files]
    kinds = {part["fleet"]["kind"] for part in parts}
    if len(kinds) != 1:
        raise UsageError(
            f"the reports are of different kinds: {', '.join(sorted(kinds))}",
            hint="merge the shards of one run",
        )
    records = [record for part in parts for record in part["targets"]]
    names = Counter(record["target"] for record in records)
    if twice := sorted(name for name, number in names.items() if number > 1)[:3]:
        raise UsageError(
            f"two of the reports tell of {', '.join(twice)}",
            hint="merge each shard once",
        )
    whole = FleetReport(
        kinds.pop(),
        min(part["fleet"]["started_at"] for part in parts),
        shard="+".join(_missing(part["fleet"]["shard"] for part in parts)) or "1/1",
        records=records,
    )
    whole.finish()
    whole.finished_at = max(part["fleet"]["finished_at"] for part in parts)
    return whole


def _missing(shards: Iterable[str]) -> list[str]:
    """The shards that are there where some are missing; empty where all are."""
    there = sorted(shards)
    of = {shard.partition("/")[2] for shard in there}
    if len(of) == 1 and len(set(there)) == int(of.pop()):
        return []
    return there


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        found["fleet"]["kind"], found["fleet"]["started_at"], found["fleet"]["finished_at"]
        for record in found["targets"]:
            RANK.index(record["status"]), str(record["target"])
        return found
    except OSError as error:
        raise UsageError(
            f"cannot read {shown(file)}: {error.strerror}",
            hint="to make one: sexton fleet audit --shard I/N --format json > PART.json",
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{shown(file)} is no fleet report: {shown(error)}",
            hint="sexton fleet audit --shard 1/4 --format json > part1.json makes one",
        ) from None
