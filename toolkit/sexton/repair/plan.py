"""Plans: what a repair will change, row by row, saved so that it can be kept to.

A plan is one JSON document with one action a line, so that a file of a million actions is
read line by line. Laid out in another way, by jq for example, it is still the same plan.
"""

import datetime
import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sexton.errors import Refused, UsageError
from sexton.files import replace_file

SCHEMA_VERSION = 1
VALIDITY = datetime.timedelta(hours=24)
CHUNK = 1_000  # lines parsed at once

Kind = Literal["insert", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Action:
    """One row to change: each column before and after, and why.

    The text `now` stands for the time of the deed. An insert has no befores, a delete no
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
    key: list[str]
    columns: list[str]
    rows: int


def stretches(actions: Iterable[Action]) -> list[ActionGroup]:
    """The stretches of one shape that actions consist of, in order."""

    def shape(action: Action) -> tuple[str, str, Kind, list[str], list[str]]:
        columns = sorted(action.change)
        return (action.check, action.table, action.kind, sorted(action.key), columns)

    return [
        ActionGroup(*common, rows=sum(1 for _ in found))
        for common, found in itertools.groupby(actions, key=shape)
    ]


@dataclass(frozen=True, slots=True)
class Skip:
    """What cannot be repaired safely, and what a person must decide."""

    check: str
    key: dict[str, Any]
    reason: str


@dataclass(frozen=True, slots=True)
class Guard:
    """Something that makes a repair doubtful: what was seen, and what lifts the guard."""

    guard: str
    saw: str
    option: str
    lifted: bool


@dataclass(frozen=True)
class Options:
    """What the person who asks for a plan allows; the plan keeps it.

    `named` are the checks that were asked for by name, `unsafe` those whose repair may
    lose something, `allow` the guards that are lifted (see `sexton.repair.safety`).
    """

    named: tuple[str, ...] = ()
    unsafe: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    max_rows: int = 1_000
    max_fraction: float = 0.5


@dataclass(frozen=True)
class Plan:
    """The repairs, in the order in which they will be made."""

    id: str
    database: dict[str, Any]
    revision: str | None
    made_at: datetime.datetime
    expires_at: datetime.datetime
    options: dict[str, Any] = field(default_factory=dict)
    guards: list[Guard] = field(default_factory=list)
    actions: Collection[Action] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)

    @cached_property
    def stretches(self) -> list[ActionGroup]:
        """What the plan touches, in order."""
        return stretches(self.actions)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything the plan says."""
        lines = self.action_lines()
        return _digest(self._head(), lines, map(asdict, self.skipped))

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "database": self.database,
            "revision": self.revision,
            "made_at": _time(self.made_at),
            "expires_at": _time(self.expires_at),
            "rows": len(self.actions),
            "stretches": [asdict(stretch) for stretch in self.stretches],
            "options": self.options,
            "guards": [asdict(guard) for guard in self.guards],
        }

    def document(self) -> dict[str, Any]:
        """The plan as one document; `lines` gives the same, piece by piece."""
        return {
            "schema_version": SCHEMA_VERSION,
            "plan": {**self._head(), "digest": self.digest},
            "actions": [action.document() for action in self.actions],
            "skipped": [asdict(skip) for skip in self.skipped],
        }

    def action_lines(self) -> Iterator[str]:
        """Each action as one line of JSON."""
        if isinstance(self.actions, SavedActions):
            return self.actions.lines()
        return (canonical(action.document()) for action in self.actions)

    def lines(self) -> Iterator[str]:
        """The plan file, line by line."""
        yield f'{{"schema_version": {SCHEMA_VERSION},\n'
        yield f'"plan": {canonical({**self._head(), "digest": self.digest})},\n'
        yield '"actions": [\n'
        yield from _listed(self.action_lines())
        yield '],\n"skipped": [\n'
        yield from _listed(canonical(asdict(skip)) for skip in self.skipped)
        yield "]}\n"


def canonical(value: object) -> str:
    """JSON in the one spelling that digests are made of."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _listed(items: Iterable[str]) -> Iterator[str]:
    ahead = None
    for item in items:
        if ahead is not None:
            yield f"{ahead},\n"
        ahead = item
    if ahead is not None:
        yield f"{ahead}\n"


def _digest(
    head: Mapping[str, Any], actions: Iterable[str], skipped: Iterable[Mapping[str, Any]]
) -> str:
    found = hashlib.sha256(canonical(head).encode())
    for line in actions:
        found.update(b"\n" + line.encode())
    found.update(b"\n\n" + canonical(list(skipped)).encode())
    return found.hexdigest()


def _time(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def write_plan(plan: Plan, path: Path) -> None:
    """Save a plan, whole or not at all; raises UsageError where it cannot be written."""
    replace_file(path, plan.lines())


def read_plan(path: Path) -> Plan:
    """Read a saved plan; its actions stay in the file and are read when they are needed.

    Raises UsageError for a file that is no plan, Refused for one that was altered.
    """
    try:
        return _read_plan(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{path} is not a plan, or not all of one",
            hint=f"make one: sexton repair --out {path}",
        ) from None


def _read_plan(path: Path) -> Plan:
    with open(path, "rb") as file:
        first, second, third = file.readline(), file.readline(), file.readline()
        if (first[:18], third.strip()) == (b'{"schema_version":', b'"actions": ['):
            head = json.loads(second.strip().removeprefix(b'"plan":').removesuffix(b","))
            start, count, rest = file.tell(), 0, b""
            digest = hashlib.sha256(canonical(_without_digest(head)).encode())
            for line in file:
                if line.startswith(b"]"):
                    rest = b'{"schema_version":1' + line[1:] + file.read()
                    break
                digest.update(b"\n" + line.rstrip(b",\n"))
                count += 1
            tail = json.loads(rest)
            skipped = tail["skipped"]
            digest.update(b"\n\n" + canonical(skipped).encode())
            made = digest.hexdigest()
            version = json.loads(first.strip().removesuffix(b",") + b"}")
            actions: Collection[Action] = SavedActions(path, start, count)
        else:
            file.seek(0)
            version = document = json.load(file)
            head, skipped = document["plan"], document["skipped"]
            actions = [Action(**action) for action in document["actions"]]
            made = _digest(
                _without_digest(head), map(canonical, document["actions"]), skipped
            )
    if version["schema_version"] != SCHEMA_VERSION:
        raise Refused(
            f"{path} has the plan format {version['schema_version']}, and this Sexton "
            f"knows only {SCHEMA_VERSION}",
            hint="make the plan again: sexton repair --out FILE",
        )
    if made != head["digest"]:
        raise Refused(
            f"the plan in {path} was altered after it was made",
            hint="make it again: sexton repair --out FILE",
        )
    plan = Plan(
        id=head["id"],
        database=head["database"],
        revision=head["revision"],
        made_at=datetime.datetime.fromisoformat(head["made_at"]),
        expires_at=datetime.datetime.fromisoformat(head["expires_at"]),
        options=head["options"],
        guards=[Guard(**guard) for guard in head["guards"]],
        actions=actions,
        skipped=[Skip(**skip) for skip in skipped],
    )
    # Known already, and long to compute.
    plan.__dict__["digest"] = made
    plan.__dict__["stretches"] = [ActionGroup(**found) for found in head["stretches"]]
    return plan


def _without_digest(head: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in head.items() if name != "digest"}


class SavedActions(Collection[Action]):
    """The actions of a plan file, read anew at each iteration."""

    def __init__(self, path: Path, start: int, count: int) -> None:
        self._path, self._start, self._count = path, start, count

    def __len__(self) -> int:
        """How many actions there are."""
        return self._count

    def __iter__(self) -> Iterator[Action]:
        """The actions, in order."""
        lines = self.lines()
        while chunk := list(itertools.islice(lines, CHUNK)):
            for action in json.loads(f"[{','.join(chunk)}]"):
                yield Action(**action)

    def lines(self) -> Iterator[str]:
        """The actions' lines as they stand in the file."""
        with open(self._path, "rb") as file:
            file.seek(self._start)
            for line in itertools.islice(file, self._count):
                yield line.rstrip(b",\n").decode()

    def __contains__(self, action: object) -> bool:
        """Whether the plan has this action."""
        return any(action == other for other in self)
