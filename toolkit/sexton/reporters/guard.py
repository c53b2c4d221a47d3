"""The guard's documents as text for people."""

from typing import Any

SAID = {
    "set": "the guard is set: CONSTRAINT {constraint}, valid",
    "incomplete": "the guard is incomplete; next: sexton guard add, or sexton guard remove",
    "none": "there is no guard; sexton guard add sets one",
}


def status(document: dict[str, Any]) -> str:
    """Whether the guard is set, and its parts."""
    lines = [SAID[document["guard"]].format_map(document)]
    if document["guard"] != "none":
        lines += [
            f"  {'there  ' if part['there'] else 'missing'}  {part['part']}"
            for part in document["parts"]
        ]
    return "\n".join(lines)


def made(document: dict[str, Any]) -> str:
    """What was done, and where that leaves the guard."""
    lines = [f"done: {step}" for step in document["made"]] or ["nothing to do"]
    return "\n".join([*lines, SAID[document["guard"]].format_map(document)])
