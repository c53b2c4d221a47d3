"""What `sexton revision` says."""

from typing import Any

from sexton.text.printable import printable


def models(document: dict[str, Any]) -> str:
    """The edits that models of the changed tables need; empty if there are none."""
    edits = [
        f"  {printable(edit)}" for one in document["changes"] for edit in one["models"]
    ]
    return "\n".join(["change the models, if there are any:", *edits]) if edits else ""


def text(document: dict[str, Any]) -> str:
    """The file that would be written, or that it was and what it changes."""
    if not document["changes"]:
        return "nothing differs: the database has what is declared"
    if not document["written"]:
        return str(document["text"]).rstrip("\n")
    changes = [f"  {printable(one['change'])}" for one in document["changes"]]
    return "\n".join([f"wrote {printable(document['file'])}", *changes])
