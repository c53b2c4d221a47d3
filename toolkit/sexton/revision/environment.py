"""A team's own Alembic environment: its head, and whether the database is there."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from sexton.database import Connection
from sexton.declarations.environment import own_environment
from sexton.errors import Refused, UsageError
from sexton.online.run_steps import here
from sexton.project import Project
from sexton.text.printable import printable


def environment(project: Project) -> Config:
    """The project's environment; raises UsageError where it has none of its own."""
    if project.alembic is None and project.file is None:
        raise UsageError(
            f"the revisions of the project {project.name} come with Sexton, and none is "
            "written",
            hint="sexton upgrade runs them; a sexton.toml declares tables of your own",
        )
    return own_environment(project)


def head(script: ScriptDirectory) -> str | None:
    """The one head of an environment, None where it has no revision; raises Refused."""
    heads = script.get_heads()
    if len(heads) > 1:
        raise Refused(
            f"{script.dir} has {len(heads)} heads, and a revision comes after one: "
            f"{', '.join(sorted(heads))}",
            hint="alembic merge heads",
        )
    return heads[0] if heads else None


def require_at_head(
    connection: Connection, config: Config, script: ScriptDirectory, head: str | None
) -> None:
    """Insist that the database has every revision that there is; raises Refused.

    Else the difference would be one that a revision makes already.
    """
    there = sorted(here(connection, *_version_table(config, script)).revisions)
    if there == [head] or (head is None and not there):
        return
    said = f"at {', '.join(map(printable, there))}" if there else "at no revision"
    raise Refused(
        f"the database {connection.info.dbname} is {said}, and the head is "
        f"{head or 'no revision'}: the revision would not be what lies between",
        hint="sexton upgrade (or alembic upgrade head), then the same again",
    )


def _version_table(config: Config, script: ScriptDirectory) -> tuple[str, str | None]:
    """What env.py calls the version table, and its schema where it says one.

    It is run as for `--sql`, which connects to nothing; one that cannot be has the usual
    name.
    """
    seen: list[Any] = []

    def look(_revision: Any, context: Any) -> list[Any]:
        seen.append(context)
        return []

    config.output_buffer = io.StringIO()
    if not config.get_main_option("sqlalchemy.url"):
        config.set_main_option("sqlalchemy.url", "postgresql://")
    offline = EnvironmentContext(config, script, fn=look, as_sql=True)
    with contextlib.suppress(Exception, SystemExit), quiet(), offline:
        script.run_env()
    if not seen:
        return "alembic_version", None
    return seen[0].version_table, seen[0].version_table_schema


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let Alembic, env.py and hooks write nothing to stdout, nor log what they do."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        logging.disable(before)


def read_part(script: ScriptDirectory, name: str) -> str:
    """A file of the environment, env.py or the template; raises UsageError."""
    file = Path(script.dir) / name
    try:
        return file.read_text(errors="replace")
    except OSError as error:
        raise UsageError(
            f"cannot read {file}: {error.strerror}", hint="`alembic init` makes one"
        ) from None
