"""One difference between what is declared and what is there, as operations."""

from dataclasses import dataclass

from alembic.operations import MigrateOperation

from sexton.online.operation import Online


@dataclass(frozen=True)
class Change:
    """What makes a difference go away, and what brings it back.

    `note` is what whoever reads the revision should know; it becomes a comment there.
    """

    what: str
    up: tuple[MigrateOperation, ...]
    down: tuple[MigrateOperation, ...]
    note: str = ""


def change(what: str, operation: Online, note: str = "") -> Change:
    """A change by one operation, which knows its reverse."""
    return Change(what, (operation,), (operation.reverse(),), note)
