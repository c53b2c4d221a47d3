"""Results as text: one line a thing, worst first, plain in a pipe as on a terminal."""

from collections.abc import Sequence
from typing import Any

from sexton.text.printable import printable


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Lines of columns, as wide as they need to be, under their names."""
    lines = [list(columns)] + [[cell(row[name]) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def cell(value: object) -> str:
    """One value as a person reads it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value))


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: `1 chat`, `2,345 chats`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def status(document: dict[str, Any], *, refused: bool = False) -> str:
    """The status document in lines; `refused` if the project objects to an upgrade."""
    at, head, product = document["revision"], document["head"], "default" in document
    behind = "" if at == head else ", sexton upgrade"
    if behind and refused:
        behind = "; upgrade the product instead: sexton upgrade --plan says why"
    if at is None and product:
        behind = "; not recorded yet, sexton adopt recognises it"
    lines = [f"drift       {sentence}" for sentence in document["drift"]]
    if head or not product:
        said = f" (head is {head}{behind})" if head else ""
        lines.insert(0, f"revision    {at or 'none'}{said}")
    if not product:
        return "\n".join(lines)
    lines += [
        f"providers   {document['providers']:,}",
        f"live        {document['live']:,} models",
        f"tombstones  {document['tombstones']:,} models, "
        f"under {count(document['chats_on_tombstones'], 'chat')}",
    ]
    if document.get("orphans"):
        lines.append(f"orphans     {count(document['orphans'], 'live model')}")
    defaults = document.get("defaults") or [document["default"]]
    return "\n".join([*lines, *map(_default, defaults)])


def _default(default: dict[str, Any] | None) -> str:
    if default is None:
        return "default     none"
    usable = "" if default["usable"] else ", NOT USABLE"
    of = default.get("organization")
    return printable(
        f"default     {default['model']} of {default['provider']} ({default['id']})"
        f"{f', for organization {of}' if of else ''}{usable}"
    )
