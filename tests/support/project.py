"""Where the project lies, and its revisions."""

from pathlib import Path

from sexton.upgrade.run import revisions

ROOT = Path(__file__).parents[2]
REVISIONS = revisions()
HEAD = REVISIONS[-1]


def above(revision: str) -> list[str]:
    """The revisions that an upgrade from this one applies, in order."""
    return REVISIONS[REVISIONS.index(revision) + 1 :]


def down_to(revision: str) -> list[str]:
    """The revisions that a downgrade from head to this one takes back, in order."""
    return above(revision)[::-1]
