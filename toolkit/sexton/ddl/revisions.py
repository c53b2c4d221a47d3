"""Revisions: what a folder of them declares, in order, without Alembic.

A revision is a file of the folder `versions` with `revision`, `down_revision` and the
lists `UPGRADE` and `DOWNGRADE`. To read it takes no Alembic, which an audit could not
afford to import; so it finds a stand-in for `from alembic import op`.
"""

import importlib.util
import inspect
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sexton.ddl.steps import Step
from sexton.errors import UsageError
from sexton.text.printable import shown

_loading = threading.Lock()


@dataclass(frozen=True)
class Fact:
    """What holds of `table` from one revision on; ordinals count the revisions from 1.

    `until` is the ordinal of the first revision at which it holds no longer, or None.
    """

    table: str
    subject: str
    since: int
    until: int | None
    broken: str
    holds: str

    def is_in_force(self, ordinal: int) -> bool:
        """Whether it holds at the revision of that ordinal."""
        return self.since <= ordinal and (self.until is None or ordinal < self.until)


@dataclass(frozen=True)
class Revision:
    """One revision: its number, the one below, and its steps both ways.

    `guard` says what it means to a guard: `possible` from it on, and to be set `before`.
    """

    number: str
    below: str | None
    summary: str
    up: tuple[Step, ...]
    down: tuple[Step, ...]
    guard: str | None = None


@cache
def load(folder: Path) -> tuple[Revision, ...]:
    """All revisions of a folder, the oldest first; raises UsageError where they fork."""
    found = [_load(file) for file in sorted((folder / "versions").glob("*.py"))]
    above = {revision.below: revision for revision in found}
    if len(above) < len(found):
        raise UsageError(f"two revisions of {shown(folder)} follow the same one")
    ordered: list[Revision] = []
    while (number := ordered[-1].number if ordered else None) in above:
        ordered.append(above.pop(number))
    if above:
        loose = ", ".join(sorted(revision.number for revision in above.values()))
        raise UsageError(f"these revisions of {shown(folder)} follow none: {loose}")
    return tuple(ordered)


def _load(file: Path) -> Revision:
    name = f"sexton_revision_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _loading, _without_alembic():
        spec.loader.exec_module(module)
    return Revision(
        number=module.revision,
        below=module.down_revision,
        summary=inspect.cleandoc(module.__doc__ or "").partition("\n")[0],
        up=tuple(map(Step.of, module.UPGRADE)),
        down=tuple(map(Step.of, module.DOWNGRADE)),
        guard=getattr(module, "GUARD", None),
    )


@contextmanager
def _without_alembic() -> Iterator[None]:
    if "alembic" in sys.modules:
        yield
        return
    stand_in = types.ModuleType("alembic")
    stand_in.op = None  # type: ignore[attr-defined]
    sys.modules["alembic"] = stand_in
    try:
        yield
    finally:
        del sys.modules["alembic"]


def facts(revisions: Sequence[Revision]) -> list[Fact]:
    """What the steps up promise, each until a later revision speaks of the same."""
    found: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    for ordinal, revision in enumerate(revisions, 1):
        for step in revision.up:
            for table, subject, broken, holds in _promises(revision, step):
                found.setdefault((table, subject), []).append((ordinal, broken, holds))
    made = []
    for (table, subject), phases in found.items():
        ends = [ordinal for ordinal, _, _ in phases[1:]]
        for (since, broken, holds), until in zip(phases, [*ends, None], strict=True):
            made.append(Fact(table, subject, since, until, broken, holds))
    return made


def _promises(revision: Revision, step: Step) -> tuple[tuple[str, str, str, str], ...]:
    if step.facts is not None:
        return step.facts
    if not step.done:
        return ()
    table = step.tables[0] if step.tables else revision.number
    subject = f"{revision.number}: {step.title}"
    return ((table, subject, f"{subject}: is not done", step.done),)


def tables(revisions: Sequence[Revision]) -> list[str]:
    """The tables that revisions speak of, those of Sexton's own left out."""
    named = [fact.table for fact in facts(revisions)]
    for revision in revisions:
        for step in (*revision.up, *revision.down):
            named += [*step.tables, *step.scans]
    own = {revision.number for revision in revisions}
    return sorted({name for name in named if name not in own and "." not in name})
