"""A project: what one team has declared about its database.

The machinery knows no table. What it needs to know of one comes from the project in use:
checks, revisions, secrets, and what must be there or be locked. The chat product is built
in.
"""

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sexton.check import Check, Severity, in_order
from sexton.errors import UsageError
from sexton.ownership import require_own
from sexton.postgres import trust
from sexton.text.printable import shown

if TYPE_CHECKING:
    from sexton.database import Connection
    from sexton.errors import WrongSchema
    from sexton.guard.spec import GuardSpec
    from sexton.reference import Declarations

# name -> the module whose PROJECT it is
BUILT_IN = {"chat": "sexton.chat.project", "chat-v2.34": "sexton.chat.today"}
PROJECT_FILES = ("sexton.toml", "pyproject.toml")
NOWHERE = Path(__file__).parent / "nowhere"  # the revisions of who has none


def _nothing(_: "Connection") -> None:
    """Ask for nothing."""


def _no_status(_: "Connection") -> dict[str, Any]:
    """Say nothing."""
    return {}


class Unfit(Protocol):
    """Says why a project cannot be used with a database, or with a change of its schema."""

    def __call__(
        self, connection: "Connection", /, *, schema_change: bool = False
    ) -> "WrongSchema | None":
        """The error to raise, with its hint; None if there is none."""


def _fits(_: "Connection", /, *, schema_change: bool = False) -> None:
    """Fit every database."""


def _no_more_checks() -> Mapping[str, Check]:
    """Have no checks but those of the folders and the declarations."""
    return {}


def _no_objections(
    _connection: "Connection", _way: str, _start: str | None, _goal: str | None
) -> Sequence[str]:
    """Have nothing against it."""
    return ()


@dataclass(frozen=True)
class Project:
    """The declarations of one database.

    `checks_folders` and `migrations` are directories that are loaded by path. `declared`
    are the references, soft deletes and defaults of a project file, `severities` what it
    ranks otherwise, `options` what it says of `audit`; `alembic` is the team's own
    alembic.ini; `unasked` says that the user did not name the file. `trust_owner` are
    roles whose code may run (`sexton.postgres.trust`). `secrets` are columns that never
    enter a plan, the journal or a report; `sensitive` are those that do unless their value
    matches a regular expression of the server's. `writable` says which columns of which
    tables the project's own commands write, by the tables' names (an empty set means all):
    beside what repairs write, the journal is believed of no others. A repair sets the
    column `updated_at` of tables that have it. `guards` are the foreign keys for live rows
    that may be set. `require` raises WrongSchema where the tables are not there;
    `before_write` takes the project's own locks, first in every transaction that changes
    rows. `commands` makes the command groups that the project adds. `status` is the
    project's part of `sexton status`. `unfit` says why the project is not for a database,
    of another release for example, or not for a change of its schema. `objections` says
    what speaks against a change of the schema (`up` or `down`, from, to) but can be
    forced. `more_checks` makes checks that no folder has.
    """

    name: str
    checks_folders: tuple[Path, ...] = ()
    migrations: Path = NOWHERE
    file: Path | None = None
    alembic: Path | None = None
    unasked: bool = False
    declared: "Declarations | None" = None
    severities: Mapping[str, Severity] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    trust_owner: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    sensitive: Mapping[str, str] = field(default_factory=dict)
    writable: Mapping[str, frozenset[str]] = field(default_factory=dict)
    updated_at: str = "updated_at"
    guards: Sequence["GuardSpec"] = ()
    require: Callable[["Connection"], None] = _nothing
    before_write: Callable[["Connection"], None] = _nothing
    commands: Callable[[], Sequence[Any]] = tuple
    status: Callable[["Connection"], dict[str, Any]] = _no_status
    unfit: Unfit = _fits
    more_checks: Callable[[], Mapping[str, Check]] = _no_more_checks
    objections: Callable[["Connection", str, str | None, str | None], Sequence[str]] = (
        _no_objections
    )

    @cached_property
    def checks(self) -> dict[str, Check]:
        """The project's checks by name, in alphabetical order; raises UsageError."""
        found = dict(self.more_checks())
        for index, folder in enumerate(self.checks_folders):
            package = f"{self.name}_checks{index or ''}"
            self._add(found, load_checks(folder, package), f"{shown(folder)} has")
        self._add(found, self.derived, f"{shown(self.file)}:")
        ranks = self.severities
        return refuse_circles({n: found[n].ranked(ranks.get(n)) for n in sorted(found)})

    @cached_property
    def derived(self) -> dict[str, Check]:
        """The checks that follow from what is declared; raises ValueError."""
        if not self.declared:
            return {}
        from sexton.derived import checks

        return checks(self.declared, f"{self.name}_checks")

    @staticmethod
    def _add(found: dict[str, Check], more: Mapping[str, Check], where: str) -> None:
        if twice := sorted(found.keys() & more):
            raise UsageError(
                f"{where} a check {twice[0]}, and there is one of that name already",
                hint="give it another name",
            )
        found |= more


_in_use: Project | None = None


def current() -> Project:
    """The project in use: that of the project file, else the chat product."""
    if _in_use is None:
        _set(find())
    assert _in_use is not None
    return _in_use


def use(project: Project) -> None:
    """Make a project the one in use."""
    _set(project)


def _set(project: Project | None) -> None:
    global _in_use
    _in_use = project
    trust.named = project.trust_owner if project else frozenset()


@contextlib.contextmanager
def using(project: Project) -> Iterator[None]:
    """Make a project the one in use for the block."""
    before = _in_use
    _set(project)
    try:
        yield
    finally:
        _set(before)


@contextlib.contextmanager
def afresh() -> Iterator[None]:
    """Look for the project anew; afterwards the one in use is what it was."""
    before = _in_use
    _set(None)
    try:
        yield
    finally:
        _set(before)


def find() -> Project:
    """The project of the file that is found here or above; else the built-in one."""
    file = find_file()
    return load(file, unasked=True) if file else built_in("chat")


def find_file() -> Path | None:
    """`sexton.toml`, or a `pyproject.toml` with `[tool.sexton]`, here or above.

    A file that another account may change is refused: it may name checks, which are
    programs. Raises UsageError.
    """
    try:
        start = Path.cwd()
    except OSError:  # the working directory is gone
        return None
    for folder in (start, *start.parents):
        for name in PROJECT_FILES:
            file = folder / name
            if not file.is_file() or (name == PROJECT_FILES[1] and not _speaks(file)):
                continue
            require_own(file)
            return file
    return None


def _speaks(file: Path) -> bool:
    try:
        return bool(re.search(rb"(?m)^\s*\[+tool\.sexton\b", file.read_bytes()))
    except OSError:
        return False


def load(file: Path, *, unasked: bool = False) -> Project:
    """The project that a file declares; raises UsageError, naming what is wrong.

    If the user did not name the file (`unasked`), what it names must be ours as well.
    """
    from sexton.declarations import project_file

    return project_file.load(file, unasked=unasked)


def chosen(project: "Project | Path | str | None") -> Project:
    """A project that declares tables: as given, of a file, or the one in use.

    Raises UsageError if it declares none.
    """
    if isinstance(project, Project):
        found = project
    else:
        found = current() if project is None else load(Path(project))
    if found.declared is None:
        raise UsageError(
            f"the project {found.name} declares no tables",
            hint="sexton init writes a project file",
        )
    return found


def built_in(name: str) -> Project:
    """A project that comes with Sexton."""
    found: Project = importlib.import_module(BUILT_IN[name]).PROJECT
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
    try:
        files = sorted(f for f in directory.glob("*.py") if not f.name.startswith("_"))
    except (OSError, ValueError):  # a name that no file can have
        files = []
    if not files:
        raise UsageError(
            f"there are no checks in {shown(directory)}",
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
        # What it prints must not stand in a document.
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{shown(file)} does not load: {type(error).__name__}: {error}",
            hint="docs/audit.md has an example of a check",
        ) from None
    check = getattr(module, "check", None)
    if not isinstance(check, Check):
        raise UsageError(
            f"{shown(file)} defines no `check = Check(__name__, …)`",
            hint="docs/audit.md has an example of a check",
        )
    if not check.explanation:
        raise UsageError(
            f"{shown(file)} has no docstring, which is the check's explanation",
            hint="say the bad state in one sentence, why it matters, and what cures it",
        )
    return check
