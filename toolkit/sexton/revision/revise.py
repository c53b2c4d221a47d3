"""`sexton revision`: compare, and write what makes the difference."""

from collections.abc import Sequence
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory

from sexton.database import Connection
from sexton.online.python import statements
from sexton.project import Project
from sexton.revision.change import Change
from sexton.revision.compare import compare
from sexton.revision.environment import head, require_at_head
from sexton.revision.models import edits
from sexton.revision.write import draft, write


def revise(
    connection: Connection,
    project: Project,
    config: Config,
    message: str | None = None,
    *,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Write a revision of the differences; the document that `--format json` prints.

    `config` is the project's environment. Only reads of the database, and writes one file,
    none with `dry_run` or where nothing differs. Raises UsageError where the project file
    names what is not there, Refused where the environment has several heads, the database
    is not at its head, or no operation makes a difference.
    """
    script = ScriptDirectory.from_config(config)
    before = head(script)
    require_at_head(connection, config, script, before)
    changes, notes = compare(connection, project)
    document: dict[str, Any] = {
        "revision": None,
        "down_revision": before,
        "message": None,
        "file": None,
        "written": False,
        "changes": _said(changes),
        "notes": notes,
        "text": None,
    }
    if changes:
        assert project.file is not None
        said = message or f"do what {project.file.name} declares"
        made = draft(config, script, changes, said)
        document |= {"revision": made.revision, "message": said, "file": str(made.file)}
        document["text"] = made.text if dry_run else write(script, made)
        document["written"] = not dry_run
    return document


def _said(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [
        {
            "change": one.what,
            "upgrade": statements(one.up),
            "downgrade": statements(one.down),
            "models": [edit for made in one.up for edit in edits(made)],
            "note": one.note or None,
        }
        for one in changes
    ]
