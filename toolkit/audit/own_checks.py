"""Your own checks: files of a directory, written in the same form as Sexton's."""

import importlib.util
import sys
from pathlib import Path

from checks import Check, all_checks
from toolkit.errors import UsageError

PACKAGE = "own_checks"  # what their modules are called, before the name of the check


def known_checks(directory: Path | None = None) -> dict[str, Check]:
    """Sexton's checks by name, and those of a directory; raises UsageError."""
    return all_checks() | (load(directory) if directory else {})


def load(directory: Path) -> dict[str, Check]:
    """The checks of a directory by name; raises UsageError, naming file and reason."""
    files = sorted(f for f in directory.glob("*.py") if not f.name.startswith("_"))
    if not files:
        raise UsageError(
            f"there are no checks in {directory}",
            hint="a check is a file NAME.py in it; docs/audit.md has an example",
        )
    return {file.stem: _load(file) for file in files}


def _load(file: Path) -> Check:
    if file.stem in all_checks():
        raise UsageError(f"{file}: Sexton has a check of that name", hint="rename the file")
    name = f"{PACKAGE}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # the check finds its explanation there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(
            f"{file} does not load: {type(error).__name__}: {error}",
            hint="docs/audit.md has an example of a check",
        ) from None
    check = getattr(module, "check", None)
    if not isinstance(check, Check):
        raise UsageError(
            f"{file} defines no `check = Check(__name__, …)`",
            hint="docs/audit.md has an example of a check",
        )
    if not check.explanation:
        raise UsageError(
            f"{file} has no docstring, which is the check's explanation",
            hint="say the bad state in one sentence, why it matters, and what cures it",
        )
    return check
