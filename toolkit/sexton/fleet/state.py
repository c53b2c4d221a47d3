"""The state of a run, outside every database: one line of JSON for each finished target.

A run that was interrupted goes on with `--resume FILE`: what ended well is not done again.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sexton.errors import UsageError
from sexton.text.printable import shown

Record = dict[str, Any]
Begun = tuple[dict[str, Record], IO[str] | None]
FINAL = ("clean", "applied", "findings")  # not to be done again


@contextlib.contextmanager
def journal(
    file: Path | None, kind: str
) -> Iterator[tuple[dict[str, Record], IO[str] | None]]:
    """What an earlier run of this kind finished, by target; and where to write on.

    Raises UsageError where the file is of another kind, or cannot be written.
    """
    if file is None:
        yield {}, None
        return
    finished = _read(file, kind) if file.exists() else {}
    try:
        with open(file, "a", encoding="utf-8") as out:
            if out.tell() == 0:
                _write(out, {"sexton_fleet": kind})
            yield finished, out
    except OSError as error:
        raise UsageError(f"cannot write {shown(file)}: {error.strerror}") from None


def note(out: IO[str] | None, record: Record) -> None:
    """Write a finished target down, so that a kill does not lose it."""
    if out is not None:
        _write(out, record)


def _write(out: IO[str], line: Record) -> None:
    out.write(json.dumps(line, default=str) + "\n")
    out.flush()
    os.fsync(out.fileno())


def _read(file: Path, kind: str) -> dict[str, Record]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        records = []
        for number, line in enumerate(lines):
            try:
                records.append(json.loads(line))
            except ValueError:
                # The last one may have been cut by a kill; the first says what it is.
                if number == 0 or number != len(lines) - 1:
                    raise
        if records and records[0]["sexton_fleet"] != kind:
            raise ValueError(f"it is of a fleet {records[0]['sexton_fleet']}")
        return {r["target"]: r for r in records[1:] if r["status"] in FINAL}
    except OSError as error:
        raise UsageError(f"cannot read {shown(file)}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{shown(file)} is not the state of a fleet {kind}: {shown(error)}",
            hint="name a new file: --resume FILE",
        ) from None
