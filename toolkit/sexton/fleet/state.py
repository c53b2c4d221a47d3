"""What an interrupted run had finished: a head, and a line for each target.

A run that was interrupted, or in which targets failed, goes on with `--resume FILE`: what
ended well is not done again. The head says what the run was asked; another question is
refused. A run that is complete ends the file, and so does its age: then a new run begins.
"""

import contextlib
import datetime
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from sexton import documents
from sexton.documents import Head, require_same
from sexton.errors import Refused, UsageError
from sexton.files import replace_file
from sexton.text import exact
from sexton.text.printable import printable, shown

Record = dict[str, Any]
FINAL = ("clean", "applied", "findings")  # not to be done again
RESUMABLE = datetime.timedelta(hours=12)  # later, what was found then says little of now
HEAD = b'{"head": '  # how a file of ours begins
NOUN = "state of a fleet"


class SavedLine(msgspec.Struct, frozen=True):
    """A line of the file: the head, a target's record, or the end of the run."""

    head: Head | None = None
    target: str | None = None
    status: str | None = None
    address: str | None = None
    ended: datetime.datetime | None = None


@dataclass
class State:
    """The records of the targets that are finished, and where to write the next ones.

    `head` is that of the run that goes on; `addresses` are the digests of the targets'.
    """

    head: Head
    finished: dict[str, Record] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    out: IO[str] | None = None

    def note(self, record: Record) -> None:
        """Write a finished target down, so that a kill does not lose it."""
        self._write({**record, "address": self.addresses.get(record["target"])})

    def end(self) -> None:
        """Write down that the run is complete: the next one begins anew."""
        self._write({"ended": documents.now().isoformat()})

    def _write(self, line: Record) -> None:
        if self.out is not None:
            self.out.write(_line(line))
            self.out.flush()
            os.fsync(self.out.fileno())


@contextlib.contextmanager
def state(
    file: Path | None, head: Head, addresses: Mapping[str, str] | None = None
) -> Iterator[State]:
    """The state of the run that `head` asks for, over targets at these addresses.

    Raises UsageError for a file that is none or cannot be written, and Refused for that of
    another run that is not complete.
    """
    if file is None:
        yield State(head)
        return
    addresses = addresses or {}
    was, records = _unfinished(file, head, addresses)
    begun = was or head
    replace_file(file, map(_line, [{"head": msgspec.to_builtins(begun)}, *records]))
    finished = {
        record["target"]: {k: v for k, v in record.items() if k != "address"}
        for record in records
    }
    try:
        with open(file, "a", encoding="utf-8") as out:
            yield State(begun, finished, addresses, out)
    except OSError as error:
        raise UsageError(f"cannot write {shown(file)}: {error.strerror}") from None


def _line(line: Mapping[str, Any]) -> str:
    return exact.dumps(line, ensure_ascii=False) + "\n"


def _unfinished(
    file: Path, head: Head, addresses: Mapping[str, str]
) -> tuple[Head | None, list[Record]]:
    """The head of a run that goes on, and what it finished; None if a new one begins."""
    was, lines, records = _read(file)
    if was is None or any(line.ended for line in lines):
        return None, []
    if documents.now() - was.at > RESUMABLE:
        return None, []
    hint = "run it as it was begun, or name a new file: --resume FILE"
    require_same(file, was, head, hint=hint, free=("targets",))
    last = {r["target"]: r for r in records if "target" in r}
    kept = [record for record in last.values() if record["status"] in FINAL]
    for record in kept:
        name = record["target"]
        if addresses.get(name, record.get("address")) != record.get("address"):
            raise Refused(
                f"{shown(file)} is about the target {printable(name)} at another address",
                hint=hint,
            )
    return was, kept


def _read(file: Path) -> tuple[Head | None, list[SavedLine], list[Record]]:
    """The head and the whole lines of a file, typed and plain; a line cut short is none."""
    hint = "name a new file: --resume FILE"
    try:
        if not file.exists():
            return None, [], []
        if not file.is_file():
            raise UsageError(f"{shown(file)} is not a regular file", hint=hint)
        *whole, torn = file.read_bytes().split(b"\n")
        if not whole and (torn.startswith(HEAD) or HEAD.startswith(torn)):
            return None, [], []  # nothing, or a head that a kill cut short
        records = [exact.loads(line) for line in whole]
        lines = [msgspec.convert(record, SavedLine) for record in records]
        if not lines or lines[0].head is None:
            raise ValueError("it does not begin with what it is about")
        for line in lines[1:]:
            if line.ended is None and None in (line.target, line.status):
                raise ValueError("a line is neither a target's nor the end")
        return lines[0].head, lines, records
    except OSError as error:
        raise UsageError(
            f"cannot read {shown(file)}: {error.strerror}", hint=hint
        ) from None
    except (ValueError, RecursionError) as error:
        raise documents.not_one(file, NOUN, hint, error) from None
