"""What deleting and restoring rows did, as text."""

from sexton.rows.result import Document
from sexton.rows.tables import few, named
from sexton.text.printable import count_rows, printable

DONE = {
    "soft_delete": "soft-deleted",
    "delete": "deleted for good",
    "null": "reference set to null",
    "restore": "restored",
    "default": "now the default",
}


def text(document: Document) -> str:
    """One line for each table and action; then defaults, refusals and what was left."""
    lines = []
    width = max((len(printable(change.table)) for change in document.changes), default=0)
    for change in document.changes:
        if change.action != "default":
            rows, name = count_rows(change.count), printable(change.table).ljust(width)
            lines.append(f"{name}  {rows} {DONE[change.action]}: {few(change.keys)}")
    for one in document.defaults:
        group = f" of {named(one.group)}" if one.group else ""
        after = named(one.after) if one.after else "none"
        before = named(one.before) if one.before else "none"
        lines.append(f"{printable(one.table)}: default{group}: {before} -> {after}")
    for refusal in document.refused:
        rows = count_rows(len(refusal.keys))
        lines.append(
            f"refused: {rows} of {printable(refusal.table)} would be left behind "
            f"({few(refusal.keys)}): {printable(refusal.why)}"
        )
    for left in document.left:
        lines.append(f"left: {printable(left.table)} {named(left.key)}: {left.why}")
    if document.run is not None:
        lines.append(f"run {document.run}; to revert it: sexton undo {document.run}")
    elif document.dry_run:
        lines.append("nothing was changed")
    return "\n".join(lines)
