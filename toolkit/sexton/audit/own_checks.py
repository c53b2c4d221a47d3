"""Your own checks: files of a directory, written in the same form as Sexton's."""

from pathlib import Path

from sexton.check import Check
from sexton.errors import UsageError
from sexton.project import all_checks, load_checks, refuse_circles

PACKAGE = "own_checks"  # what their modules are called, before the name of the check


def known_checks(directory: Path | None = None) -> dict[str, Check]:
    """The project's checks by name, and those of a directory; raises UsageError."""
    return refuse_circles(all_checks() | (load(directory) if directory else {}))


def load(directory: Path) -> dict[str, Check]:
    """The checks of a directory by name; raises UsageError, naming file and reason."""
    for file in sorted(directory.glob("*.py")):
        if file.stem in all_checks():
            raise UsageError(
                f"{file}: Sexton has a check of that name", hint="rename the file"
            )
    return load_checks(directory, PACKAGE)
