"""Plans: what a repair will change, row by row, and who asked for it with which limits."""

import datetime
import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from sexton.text.exact import canonical

SCHEMA_VERSION = 2
VALIDITY = datetime.timedelta(hours=24)

Kind = Literal["insert", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Action:
    """One row to change: each column before and after, and why.

    The text `now` stands for the time of execution. An insert has no befores, a delete no
    afters: they are null.
    """

    check: str
    table: str
    key: dict[str, Any]
    change: dict[str, list[Any]]
    why: str
    kind: Kind = "update"

    def document(self) -> dict[str, Any]:
        """The action as the plan's document has it."""
        return {
            "check": self.check,
            "table": self.table,
            "kind": self.kind,
            "key": self.key,
            "change": self.change,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class ActionGroup:
    """Neighbouring actions of one shape: `rows` of them, with the same columns."""

    check: str
    table: str
    kind: Kind
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: int


ShapeOf = tuple[str, str, Kind, tuple[str, ...], tuple[str, ...]]


def shape(
    check: str, table: str, kind: Kind, key: Iterable[str], change: Iterable[str]
) -> ShapeOf:
    """What neighbours must have in common to be one group."""
    return (check, table, kind, tuple(sorted(key)), tuple(sorted(change)))


def group(actions: Iterable[Action]) -> list[ActionGroup]:
    """The groups of one shape that actions consist of, in order."""
    return grouped(shape(a.check, a.table, a.kind, a.key, a.change) for a in actions)


def grouped(shapes: Iterable[ShapeOf]) -> list[ActionGroup]:
    """The groups that the shapes of actions make, in order."""
    return [
        ActionGroup(*common, rows=sum(1 for _ in found))
        for common, found in itertools.groupby(shapes)
    ]


@dataclass(frozen=True, slots=True)
class Skip:
    """What cannot be repaired safely, and what a person must decide."""

    check: str
    key: dict[str, Any]
    reason: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A safety limit that a plan meets: what was seen, and the option that lifts it."""

    limit: str
    saw: str
    option: str
    lifted: bool


@dataclass(frozen=True)
class Options:
    """What the person who asks for a plan allows; the plan keeps it.

    `named` are the checks that were asked for by name, `unsafe` those whose repair may
    lose something, `allow` the safety limits that are lifted (see `sexton.repair.safety`).
    """

    named: tuple[str, ...] = ()
    unsafe: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    max_rows: int = 1_000
    max_fraction: float = 0.5


@dataclass(frozen=True)
class Plan:
    """The repairs, in the order in which they will be made.

    `tables` says which table each name means: its schema and oid. `checks` has a digest of
    each check's findings and repair, as they were declared when the plan was made.
    """

    id: str
    database: dict[str, Any]
    revision: str | None
    made_at: datetime.datetime
    expires_at: datetime.datetime
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    limits: list[Limit] = field(default_factory=list)
    actions: Collection[Action] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    @cached_property
    def groups(self) -> list[ActionGroup]:
        """What the plan touches, in order, made from its actions."""
        return group(self.actions)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything the plan says."""
        return digest_of(self.head(), self.action_lines(), map(asdict, self.skipped))

    def head(self) -> dict[str, Any]:
        """What the plan says of itself, without the digest."""
        return {
            "id": self.id,
            "database": self.database,
            "tables": self.tables,
            "checks": self.checks,
            "revision": self.revision,
            "made_at": _time(self.made_at),
            "expires_at": _time(self.expires_at),
            "rows": len(self.actions),
            "options": self.options,
            "limits": [asdict(limit) for limit in self.limits],
        }

    def document(self) -> dict[str, Any]:
        """The plan as one document; `lines` gives the same, piece by piece."""
        return {
            "schema_version": SCHEMA_VERSION,
            "plan": {**self.head(), "digest": self.digest},
            "actions": [action.document() for action in self.actions],
            "skipped": [asdict(skip) for skip in self.skipped],
        }

    def action_lines(self) -> Iterator[str]:
        """Each action as one line of JSON."""
        lines: Iterator[str] | None = getattr(self.actions, "lines", lambda: None)()
        if lines is not None:
            return lines
        return (canonical(action.document()) for action in self.actions)

    def lines(self) -> Iterator[str]:
        """The plan file, line by line."""
        actions: Iterable[str] = self.action_lines()
        if "digest" not in self.__dict__:  # which stands first: spell them once for both
            actions = list(actions)
            skipped = map(asdict, self.skipped)
            self.__dict__["digest"] = digest_of(self.head(), actions, skipped)
        yield f'{{"schema_version": {SCHEMA_VERSION},\n'
        yield f'"plan": {canonical({**self.head(), "digest": self.digest})},\n'
        yield '"actions": [\n'
        yield from _listed(actions)
        yield '],\n"skipped": [\n'
        yield from _listed(canonical(asdict(skip)) for skip in self.skipped)
        yield "]}\n"


def _listed(items: Iterable[str]) -> Iterator[str]:
    ahead = None
    for item in items:
        if ahead is not None:
            yield f"{ahead},\n"
        ahead = item
    if ahead is not None:
        yield f"{ahead}\n"


def digest_of(
    head: Mapping[str, Any], actions: Iterable[str], skipped: Iterable[Mapping[str, Any]]
) -> str:
    """SHA-256 over a plan's head, the lines of its actions, and what it skips."""
    found = hashlib.sha256(canonical(head).encode())
    for line in actions:
        found.update(b"\n" + line.encode())
    found.update(b"\n\n" + canonical(list(skipped)).encode())
    return found.hexdigest()


def _time(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
