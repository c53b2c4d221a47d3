"""What goes wrong in a team's own code, its env.py and its revisions, in our words."""

import contextlib
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg import Error
from sqlalchemy.exc import DBAPIError

from sexton.errors import Incomplete, SextonError, UsageError, was_interrupted
from sexton.server_errors import to_sexton_error
from sexton.text.printable import printable


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return str(error).strip().partition("\n")[0]


def _said(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {first_line(error)}")


@contextlib.contextmanager
def said_of(file: Path) -> Iterator[None]:
    """What goes wrong while an env.py looks; raises UsageError, or the server's error."""
    try:
        yield
    except SextonError:
        raise
    except DBAPIError as error:
        if isinstance(error.orig, Error):
            raise to_sexton_error(error.orig) from None
        raise
    except Exception as error:
        raise UsageError(
            f"{file} does not run: {_said(error)}", hint="`alembic current` runs it too"
        ) from None


def require_revisions(script: ScriptDirectory) -> None:
    """Insist on revisions that can be read, each after one that is there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Alembic's, which says it in two lines
            script.get_heads()
    except Exception as error:
        why = _said(error)
        if isinstance(error, KeyError):
            why = printable(f"one follows {error.args[0]!r}, which is not there")
        raise UsageError(
            f"the revisions of {script.dir} cannot be read: {why}",
            hint="correct the file, or its down_revision; `alembic history` reads them too",
        ) from None


@contextlib.contextmanager
def said_of_revisions(config: Config) -> Iterator[None]:
    """What a revision's own Python raises, with its place; raises Incomplete."""
    try:
        yield
    except (SextonError, CommandError, DBAPIError, Error):
        raise
    except Exception as error:
        place = None if was_interrupted(error) else _place(error, config)
        if place is None:
            raise
        raise Incomplete(
            f"{place.filename}, line {place.lineno}: {_said(error)}",
            hint="correct the revision, then run the same command again",
        ) from None


def _place(error: Exception, config: Config) -> traceback.FrameSummary | None:
    """The innermost line of the team's that an error came through, if it did."""
    script = ScriptDirectory.from_config(config)
    theirs = {Path(str(at)).resolve() for at in (script.dir, *script._version_locations)}
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if theirs.intersection(Path(frame.filename).resolve().parents)
    ]
    return frames[-1] if frames else None
