"""The cursor: what does not fit into tonight's budget goes on tomorrow.

A file beside the database, so that a standby stays read-only. For each large scan it
holds how far the pass has come, what was found in it so far, and when the last whole pass
ended. Each piece has a short snapshot of its own, so a row that moves in between to a
page already looked at is seen by the next pass only.
"""

import datetime
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sexton.audit.ranges import Cut
from sexton.errors import Refused, UsageError
from sexton.files import replace_file
from sexton.text import durations
from sexton.text.printable import shown
from sexton.text.storable import unstorable

SCHEMA_VERSION = 1
KEPT = 10_000  # findings of a check that the file holds


@dataclass
class Cursor:
    """The state of the large scans, and how long tonight may take; times in seconds."""

    file: Path
    budget: float
    max_age: float | None = None
    scans: dict[str, dict[str, Any]] = field(default_factory=dict)
    database: dict[str, Any] = field(default_factory=dict)
    _began: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def spent(self) -> bool:
        """Whether tonight's budget is spent."""
        return time.monotonic() - self._began >= self.budget

    def begin(self, database: Mapping[str, Any]) -> None:
        """Start tonight's budget; raises Refused for another database's file."""
        self._began = time.monotonic()
        if self.database and dict(self.database) != dict(database):
            raise Refused(
                f"{shown(self.file)} is the cursor of another database, "
                f"{self.database['name']}",
                hint="name a file for each database: --cursor FILE",
            )
        self.database = dict(database)

    def resume(self, cut: Cut) -> list[dict[str, Any]]:
        """Set a scan to where it was left; return what this pass found before, by check.

        A table that was rewritten, or other checks, begin a pass anew.
        """
        shape = _shape(cut)
        known = self.scans.get(cut.name, {})
        if known.get("shape") != shape:
            known = {"shape": shape, "last_full_pass": None, "position": 0}
            known |= {"bound": None, "began": _now(), "found": {}}
            self.scans[cut.name] = known
        cut.position, cut.bound = known["position"], known["bound"]
        cut.restart()
        return [{"check": c, **row} for c, found in known["found"].items() for row in found]

    def note(self, cut: Cut) -> None:
        """Write down how far a scan has come, and what it found."""
        with self._lock:
            known = self.scans[cut.name]
            known |= {"position": cut.position, "bound": cut.bound, "pages": cut.pages}
            for found, _ in cut.found[known.get("_noted", 0) :]:
                for name, part in found.items():
                    kept = known["found"].setdefault(name, [])
                    kept += part.rows[: max(0, KEPT - len(kept))]
            known["_noted"] = len(cut.found)
            self._write()

    def finish(self, cut: Cut, still: Mapping[str, list[dict[str, Any]]]) -> None:
        """Keep those findings that are findings still; a whole pass begins the next one."""
        known = self.scans[cut.name]
        known["found"] = dict(still)
        known.pop("_noted", None)
        if cut.whole:
            known |= {"last_full_pass": _now(), "position": 0, "bound": None}
            known |= {"began": _now(), "found": {}}
        self._write()

    def last_full_pass(self, cut: Cut) -> datetime.datetime | None:
        """When the last whole pass of a scan ended."""
        at = self.scans.get(cut.name, {}).get("last_full_pass")
        return datetime.datetime.fromisoformat(at) if at else None

    def verdict(self, cut: Cut) -> tuple[bool, str]:
        """Whether a scan may count as looked at, and the sentence about it."""
        if cut.whole:
            return True, "a full pass ended in this run"
        covered = f"covered {cut.covered:.0%} of this pass"
        last = self.last_full_pass(cut)
        if last is None:
            return False, f"{covered}; no pass was ever whole"
        age = (datetime.datetime.now(datetime.UTC) - last).total_seconds()
        said = f"{covered}, last full pass {durations.duration(age)} ago"
        if self.max_age is not None and age > self.max_age:
            return False, f"{said}, longer than {durations.duration(self.max_age)}"
        return True, said

    def _write(self) -> None:
        scans = {
            name: {k: v for k, v in scan.items() if not k.startswith("_")}
            for name, scan in self.scans.items()
        }
        document = {"schema_version": SCHEMA_VERSION, "database": self.database}
        text = json.dumps({**document, "scans": scans}, indent=1, default=str)
        replace_file(self.file, text + "\n")


def load(file: Path, budget: float, max_age: float | None) -> Cursor:
    """Read a cursor, or begin one; raises UsageError where the file is none."""
    if not file.exists():
        return Cursor(file, budget, max_age)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"its schema_version is not {SCHEMA_VERSION}")
        scans = {str(name): _scan(scan) for name, scan in document["scans"].items()}
        return Cursor(file, budget, max_age, scans, dict(document["database"]))
    except OSError as error:
        raise UsageError(
            f"cannot read the cursor {shown(file)}: {error.strerror}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{shown(file)} is not a cursor: {error}",
            hint="name a new file, and the pass begins anew: --cursor FILE",
        ) from None


def _scan(scan: Mapping[str, Any]) -> dict[str, Any]:
    if why := unstorable(scan):
        raise ValueError(f"a scan holds {why}")
    for at in (scan["began"], scan["last_full_pass"]):
        if at is not None:
            datetime.datetime.fromisoformat(at)
    return {
        "shape": scan["shape"],
        "position": int(scan["position"]),
        "bound": None if scan["bound"] is None else str(scan["bound"]),
        "began": scan["began"],
        "last_full_pass": scan["last_full_pass"],
        "found": {str(name): list(found) for name, found in scan["found"].items()},
    }


def _shape(cut: Cut) -> dict[str, Any]:
    """What must be the same for a pass to go on: the checks and the tables' files."""
    return {
        "checks": sorted(check.name for check in cut.unit.checks),
        "leaves": [[leaf.sql, leaf.file] for leaf in cut.leaves],
        "by_key": cut.by_key,
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
