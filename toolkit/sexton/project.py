"""A project: what one team has declared about its database.

The machinery knows no table. What it needs to know of one comes from the project in use:
checks, revisions, secrets, and what must be there or be locked. The chat product is built
in.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sexton.check import Check, in_order
from sexton.errors import UsageError

if TYPE_CHECKING:
    from sexton.database import Connection

BUILT_IN = {"chat": "sexton.chat.project"}  # name -> the module whose PROJECT it is


def _nothing(_: "Connection") -> None:
    """Ask for nothing."""


@dataclass(frozen=True)
class Project:
    """The declarations of one database.

    `checks_folder` and `migrations` are directories that are loaded by path. `secrets`
    are columns that never enter a plan, the journal or a report; `sensitive` are those
    that do unless their value matches a regular expression of the server's. `writable`
    says which columns of which tables the project's own commands write, by the tables'
    names (an empty set means all): beside what repairs write, the journal is believed of
    no others. A repair sets the column `updated_at` of tables that have it. `require`
    raises WrongSchema where the tables are not there; `before_write` takes the project's
    own locks, first in every transaction that changes rows. `commands` makes the command
    groups that the project adds.
    """

    name: str
    checks_folder: Path
    migrations: Path
    secrets: frozenset[str] = frozenset()
    sensitive: Mapping[str, str] = field(default_factory=dict)
    writable: Mapping[str, frozenset[str]] = field(default_factory=dict)
    updated_at: str = "updated_at"
    require: Callable[["Connection"], None] = _nothing
    before_write: Callable[["Connection"], None] = _nothing
    commands: Callable[[], Sequence[Any]] = tuple

    @cached_property
    def checks(self) -> dict[str, Check]:
        """The project's checks by name, in alphabetical order."""
        return refuse_circles(load_checks(self.checks_folder, f"{self.name}_checks"))


@cache
def current() -> Project:
    """The project in use."""
    found: Project = importlib.import_module(BUILT_IN["chat"]).PROJECT
    return found


def all_checks() -> dict[str, Check]:
    """The checks of the project in use, by name."""
    return current().checks


def refuse_circles(checks: dict[str, Check]) -> dict[str, Check]:
    """The checks, if their repairs have an order; raises UsageError.

    What they come `after` need not be there; what they are `followed_by` must.
    """
    for name, check in checks.items():
        for follower in check.followed_by:
            if follower not in checks:
                raise UsageError(
                    f"the check {name} is followed by {follower}, which is no check",
                    hint="name a check that is there, or none",
                )
    try:
        in_order(checks)
    except ValueError as error:
        raise UsageError(
            f"the repairs of checks wait for each other: {error}",
            hint="take one of them out of `after` or `followed_by`",
        ) from None
    return checks


def load_checks(directory: Path, package: str) -> dict[str, Check]:
    """The checks of a directory by name; raises UsageError, naming file and reason."""
    files = sorted(f for f in directory.glob("*.py") if not f.name.startswith("_"))
    if not files:
        raise UsageError(
            f"there are no checks in {directory}",
            hint="a check is a file NAME.py in it; docs/audit.md has an example",
        )
    return {file.stem: _load(file, f"{package}.{file.stem}") for file in files}


def _load(file: Path, name: str) -> Check:
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
