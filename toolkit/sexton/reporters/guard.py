"""The guards' documents as text for people."""

import shlex
from typing import Any

from sexton.text.printable import printable

SAID = {
    "set": "set, CONSTRAINT {constraint} is valid",
    "incomplete": "incomplete; next: sexton guard add, or sexton guard remove",
    "none": "there is none; sexton guard add sets one",
}


def status(document: dict[str, Any]) -> str:
    """Each guard: whether it is set, and its parts."""
    lines = [line for one in document["guards"] for line in _lines(one, parts=True)]
    return "\n".join(lines or ["this project declares no guard, and none is there"])


def made(document: dict[str, Any]) -> str:
    """What was done, and where that leaves the guards."""
    lines = [f"done: {printable(step)}" for step in document["made"]] or ["nothing to do"]
    return "\n".join(
        [*lines, *(line for one in document["guards"] for line in _lines(one))]
    )


def _lines(one: dict[str, Any], *, parts: bool = False) -> list[str]:
    said = SAID[one["guard"]].format_map({"constraint": printable(str(one["constraint"]))})
    lines = [f"guard of {printable(one['child'])} -> {printable(one['parent'])}: {said}"]
    lines += [
        f"  {printable(left)} was detached and keeps the key and the CHECK, without the "
        f"trigger; next: sexton guard remove {shlex.quote(printable(left))}"
        for left in one["detached"]
    ]
    if parts and one["guard"] != "none":
        lines += [
            f"  {'there  ' if part['there'] else 'missing'}  {printable(part['part'])}"
            for part in one["parts"]
        ]
    return lines
