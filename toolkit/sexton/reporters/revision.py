"""What `sexton revision` says."""

from typing import Any

from sexton.text.printable import printable


def text(document: dict[str, Any]) -> str:
    """The file that would be written, or that it was and what it changes."""
    if not document["changes"]:
        return "nothing differs: the database has what is declared"
    if not document["written"]:
        return str(document["text"]).rstrip("\n")
    changes = [f"  {printable(one['change'])}" for one in document["changes"]]
    return "\n".join([f"wrote {printable(document['file'])}", *changes])
