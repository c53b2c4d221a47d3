"""Your own checks: files of directories, written in the same form as Sexton's."""

from collections.abc import Sequence
from pathlib import Path

from sexton.check import Check
from sexton.errors import UsageError
from sexton.project import all_checks, load_checks, refuse_circles
from sexton.text.printable import shown

PACKAGE = "own_checks"  # what their modules are called, before the name of the check


def known_checks(directories: Sequence[Path] = ()) -> dict[str, Check]:
    """The project's checks by name, and those of directories; raises UsageError."""
    return refuse_circles(all_checks() | own_checks(directories))


def own_checks(directories: Sequence[Path]) -> dict[str, Check]:
    """The checks of directories by name; raises UsageError, naming file and reason."""
    found: dict[str, Check] = {}
    for number, directory in enumerate(dict.fromkeys(directories)):
        for file in sorted(directory.glob("*.py")):
            if file.stem in all_checks():
                raise UsageError(
                    f"{shown(file)}: Sexton has a check of that name",
                    hint="rename the file",
                )
            if file.stem in found:
                raise UsageError(
                    f"{shown(file)}: another directory has a check of that name",
                    hint="rename one of the files",
                )
        found |= load_checks(directory, f"{PACKAGE}_{number}" if number else PACKAGE)
    return found
