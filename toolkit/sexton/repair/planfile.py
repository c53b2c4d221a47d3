"""Plan files: a plan as one JSON document with one action a line.

A file of a million actions is thus read line by line. Laid out in another way, by jq for
example, it is still the same plan. Nothing in a file is believed before it was looked at:
it says what to change, never how.
"""

import datetime
import itertools
import os
import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from sexton.errors import Refused, UsageError
from sexton.files import replace_file
from sexton.repair.plan import (
    SCHEMA_VERSION,
    Action,
    Kind,
    Limit,
    Plan,
    ShapeOf,
    Skip,
    digest_of,
    grouped,
    shape,
)
from sexton.text.exact import canonical, loads
from sexton.text.printable import printable

KINDS = get_args(Kind)
CHUNK = 1_000  # lines parsed at once
LINE = 64 << 20  # bytes: no line of a plan is longer, and no plan of another layout


def write_plan(plan: Plan, path: Path) -> None:
    """Save a plan, whole or not at all; raises UsageError where it cannot be written."""
    replace_file(path, plan.lines())


def read_plan(path: Path) -> Plan:
    """Read a saved plan; its actions stay in the file and are read when they are needed.

    Raises UsageError for a file that is no plan, Refused for one that was altered.
    """
    name = printable(str(path))
    try:
        return _read_plan(path, name)
    except OSError as error:
        raise UsageError(
            f"cannot read {name}: {error.strerror}",
            hint="sexton repair --out FILE makes a plan",
        ) from None
    except (ValueError, KeyError, TypeError, OverflowError):
        raise UsageError(
            f"{name} is not a plan, or not all of one",
            hint="make a plan under another name: sexton repair --out FILE",
        ) from None


def _read_plan(path: Path, name: str) -> Plan:
    document = _by_lines(path)
    if document is None or not _unaltered(document):
        document = _whole(path)
    version = document["schema_version"]
    if type(version) is not int:
        raise ValueError("no version")
    if version != SCHEMA_VERSION:
        raise Refused(
            f"{name} has the plan format {version}, and this Sexton knows only "
            f"{SCHEMA_VERSION}",
            hint="make the plan again: sexton repair --out FILE",
        )
    if not _unaltered(document):
        raise Refused(
            f"the plan in {name} was altered after it was made",
            hint=f"make it again: sexton repair --out {shlex.quote(name)}",
        )
    return _plan(document)


def _unaltered(document: Mapping[str, Any]) -> bool:
    head = dict(document["plan"])
    said = head.pop("digest")
    return bool(said == digest_of(head, document["lines"](), document["skipped"]))


def _by_lines(path: Path) -> dict[str, Any] | None:
    """The document of a file that is laid out as `Plan.lines` does it; None of another."""
    with open(path, "rb") as file:
        first, second, third = (file.readline(LINE).strip() for _ in range(3))
        if (first[:18], third) != (b'{"schema_version":', b'"actions": ['):
            return None
        start, count = file.tell(), 0
        for line in file:
            if line.startswith(b"]"):
                tail = loads(b'{"rest":0' + line[1:] + file.read(LINE))
                break
            count += 1
        else:
            return None
    head = loads(b"{" + second.rstrip(b",") + b"}")
    version = loads(first.rstrip(b",") + b"}")
    actions = SavedActions(path, start, count)
    found = {**version, **head, "skipped": tail["skipped"]}
    return {**found, "actions": actions, "lines": actions.lines}


def _whole(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LINE:
        raise ValueError("too large for one piece")
    document = loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    raw = document["actions"]
    return {
        **document,
        "actions": [read_action(action) for action in raw],
        "lines": lambda: map(canonical, raw),
    }


def _plan(document: Mapping[str, Any]) -> Plan:
    head = document["plan"]
    actions: Collection[Action] = document["actions"]
    plan = Plan(
        id=_typed(head["id"], str),
        database=_typed(head["database"], dict),
        tables={
            _typed(name, str): {"schema": _typed(t["schema"], str), "oid": int(t["oid"])}
            for name, t in _typed(head["tables"], dict).items()
        },
        checks=msgspec.convert(head["checks"], dict[str, str]),
        revision=_typed(head["revision"], str, type(None)),
        made_at=_moment(head["made_at"]),
        expires_at=_moment(head["expires_at"]),
        options=_options(head["options"]),
        limits=[
            Limit(
                _typed(limit["limit"], str),
                _typed(limit["saw"], str),
                _typed(limit["option"], str),
                _typed(limit["lifted"], bool),
            )
            for limit in _typed(head["limits"], list)
        ],
        actions=actions,
        skipped=[
            Skip(
                _typed(skip["check"], str),
                _typed(skip["key"], dict),
                _typed(skip["reason"], str),
            )
            for skip in _typed(document["skipped"], list)
        ],
    )
    _typed(plan.database["name"], str)
    plan.__dict__["digest"] = head["digest"]  # compared already, and long to compute
    if isinstance(actions, SavedActions):
        plan.__dict__["groups"] = grouped(actions.shapes())
    return plan


def _options(options: Any) -> dict[str, Any]:
    for name in ("named", "unsafe", "allow"):
        for value in _typed(options[name], list):
            _typed(value, str)
    return dict(options)


def _moment(text: Any) -> datetime.datetime:
    found = datetime.datetime.fromisoformat(_typed(text, str))
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found


def _typed(value: Any, *types: type) -> Any:
    if not isinstance(value, types):
        raise TypeError("a value of another type")
    return value


def read_action(found: Any) -> Action:
    """An action out of a document; raises ValueError, TypeError or KeyError."""
    action = Action(**found)
    for text in (action.check, action.table, action.why):
        if not isinstance(text, str):
            raise TypeError("a value of another type")
    if action.kind not in KINDS:
        raise ValueError("no kind of change")
    if not action.key or not action.change:
        raise ValueError("an action without a key or a change")
    for value in _typed(action.key, dict).values():
        if not isinstance(value, str | int | float):
            raise TypeError("a value of another type")
    for pair in _typed(action.change, dict).values():
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("a column without a before and an after")
    return action


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """An action as far as a plan's groups need it: its values stay as they are written."""

    check: str
    table: str
    key: dict[str, str | int | float | bool]
    change: dict[str, tuple[msgspec.Raw, msgspec.Raw]]
    why: str
    kind: Kind = "update"


_decode = msgspec.json.Decoder(_Line).decode


class SavedActions(Collection[Action]):
    """The actions of a plan file, read anew at each iteration."""

    def __init__(self, path: Path, start: int, count: int) -> None:
        self._path, self._start, self._count = Path(os.path.abspath(path)), start, count

    def __len__(self) -> int:
        """How many actions there are."""
        return self._count

    def __iter__(self) -> Iterator[Action]:
        """The actions, in order."""
        lines = self.lines()
        while chunk := list(itertools.islice(lines, CHUNK)):
            yield from map(read_action, loads(f"[{','.join(chunk)}]"))

    def shapes(self) -> Iterator[ShapeOf]:
        """The shape of each action; raises what `read_action` raises."""
        for line in self.lines():
            found: _Line | Action
            try:
                found = _decode(line)
            except ValueError:  # be it wrong, or a number that only Python holds
                found = read_action(loads(line))
            if not found.key or not found.change:
                raise ValueError("an action without a key or a change")
            yield shape(found.check, found.table, found.kind, found.key, found.change)

    def lines(self) -> Iterator[str]:
        """The actions' lines as they stand in the file."""
        with open(self._path, "rb") as file:
            file.seek(self._start)
            for line in itertools.islice(file, self._count):
                yield line.rstrip(b"\r\n").removesuffix(b",").decode()

    def __contains__(self, action: object) -> bool:
        """Whether the plan has this action."""
        return any(action == other for other in self)
