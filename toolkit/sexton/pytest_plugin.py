"""For pytest: `--sexton-rehearse`, and the fixture `unfiltered_statements`.

The option adds a test for each new revision, which fails on its findings. The fixture
lists the statements of a test that read a soft-deletable table unfiltered.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sexton.errors import SextonError


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, in a group of their own."""
    group = parser.getgroup("sexton", "Sexton: rehearsal of Alembic revisions")
    group.addoption(
        "--sexton-rehearse",
        metavar="REF|REV",
        nargs="?",
        const="",
        help="Rehearse the revisions that are new against REF, as sexton rehearse --base.",
    )
    group.addoption(
        "--sexton-alembic",
        metavar="FILE",
        type=Path,
        help="The Alembic environment. [default: what sexton.toml names]",
    )


@pytest.fixture
def unfiltered_statements() -> Iterator[list[Any]]:
    """The statements of this test that read soft-deleted rows as well, as it goes on.

    Statements are those of SQLAlchemy's engines; see `sexton.sqlalchemy.Unfiltered`. The
    declarations are those of the project file found from the working directory.
    """
    from sexton.sqlalchemy import watching

    with watching() as found:
        yield found


class Rehearsed(pytest.Item):
    """One revision; the rehearsal runs once, for all of them."""

    def __init__(self, *, name: str, parent: Any, file: str, all_: "_All") -> None:
        super().__init__(name, parent)
        self.file, self.all_ = file, all_

    def runtest(self) -> None:
        """Fail if the revision has findings, or was not rehearsed."""
        from sexton.reporters.rehearsal import lines_of

        done = {one.revision: one for one in self.all_.document().revisions}
        one = done.get(self.name)
        if one is None:
            raise Failed("not rehearsed, because a revision before it fails")
        if one.problem or any(finding.counts for finding in one.findings):
            raise Failed("\n".join(lines_of(one)))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The findings alone: a traceback says nothing of a revision."""
        if isinstance(excinfo.value, Failed | SextonError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, int, str]:
        """The revision's file."""
        return self.file, 0, f"rehearse {self.name}"


class Failed(Exception):
    """Why a revision is not passed."""


class _All:
    """The rehearsal, which runs when the first test asks for it."""

    def __init__(self, config: Any, base: str | None) -> None:
        self.config, self.base = config, base
        self._document: Any = None

    def document(self) -> Any:
        from sexton.rehearse.rehearsal import rehearse

        if self._document is None:
            self._document = rehearse(self.config, base=self.base)
        return self._document


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the new revisions."""
    base = config.getoption("--sexton-rehearse")
    if base is not None:
        items.extend(_items(session, base or None, config.getoption("--sexton-alembic")))


def _items(session: Any, base: str | None, file: Path | None) -> Iterator[pytest.Item]:
    from alembic.script import ScriptDirectory

    from sexton.online.team_code import require_revisions
    from sexton.rehearse.newer import newer
    from sexton.rehearse.rehearsal import environment

    try:
        configuration = environment(file)
        script = ScriptDirectory.from_config(configuration)
        require_revisions(script)
        found = newer(script, (), base)
    except SextonError as error:
        raise pytest.UsageError(f"--sexton-rehearse: {error.message}") from None
    shared = _All(configuration, base)
    for one in (*found.new, *found.changed):
        yield Rehearsed.from_parent(session, name=one.revision, file=one.path, all_=shared)
