"""Changes as a revision of a team's own environment, by its own template and hooks."""

import ast
import contextlib
import io
import os
import sys
import tempfile
import textwrap
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.operations import MigrateOperation
from alembic.script import ScriptDirectory, write_hooks
from alembic.util import CommandError, rev_id

from sexton.errors import Incomplete, UsageError
from sexton.files import replace_file
from sexton.online.python import INDENT, WIDTH, statements
from sexton.revision.change import Change
from sexton.revision.environment import quiet, read_part

TEMPLATE = "script.py.mako"


@dataclass(frozen=True)
class Draft:
    """A revision that is not written yet: where it will lie, and its text."""

    revision: str
    file: Path
    text: str


def draft(
    config: Config, script: ScriptDirectory, changes: Sequence[Change], message: str
) -> Draft:
    """The revision of some changes; raises UsageError where the template cannot say it."""
    if '"""' in message or "\\" in message:
        raise UsageError(
            'a message with """ or \\ would break the docstring that it becomes',
            hint="say it plainly: -m TEXT",
        )
    template = read_part(script, TEMPLATE)
    up = _body([(change.note, change.up) for change in changes])
    down = _body([("", change.down) for change in reversed(changes)])
    imports = []
    if "sa." in up + down and "import sqlalchemy as sa" not in template:
        imports.append("import sqlalchemy as sa")
    if "sexton" not in read_part(script, "env.py"):
        imports.append("import sexton.alembic  # noqa: F401 - registers the operations")
    said = {"config": config, "upgrades": up, "downgrades": down}
    revision = rev_id()
    with tempfile.TemporaryDirectory() as folder:
        rehearsed = _rehearse(
            script, folder, revision, message, imports="\n".join(imports), **said
        )
        text = _tidy(rehearsed.read_text())
        file = _folder(script) / rehearsed.relative_to(folder)
    if any(part not in text for part in (up, down, *imports)):
        raise UsageError(
            f"{script.dir}/{TEMPLATE} does not use ${{imports}}, ${{upgrades}} and "
            "${downgrades}: the revision would do nothing",
            hint="`alembic init` shows a template that does",
        )
    if file.exists():
        raise UsageError(f"{file} is there already", hint="give another message: -m TEXT")
    return Draft(revision, file, text)


def write(script: ScriptDirectory, made: Draft) -> str:
    """Write a revision, and let the environment's hooks at it; returns its text.

    Raises Incomplete where a hook fails: the file is there by then.
    """
    made.file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(made.file, made.text)
    try:
        if script.hooks:
            with quiet(), _programs_on_stderr():
                write_hooks._run_hooks(str(made.file), script.hooks)
    except Exception as error:
        raise Incomplete(
            f"{made.file} is written, but a hook of the environment failed: {error}",
            hint="see post_write_hooks in its alembic.ini",
        ) from None
    return made.file.read_text()


@contextlib.contextmanager
def _programs_on_stderr() -> Iterator[None]:
    """Let what hooks print stand in no document."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _rehearse(
    script: ScriptDirectory, folder: str, revision: str, message: str, **said: Any
) -> Path:
    """What Alembic would write, below another folder; raises UsageError."""
    rehearsal = ScriptDirectory(
        script.dir,
        file_template=script.file_template,
        truncate_slug_length=script.truncate_slug_length,
        version_locations=[*map(str, script._version_locations), folder],
        output_encoding=script.output_encoding,
        timezone=script.timezone,
        recursive_version_locations=script.recursive_version_locations,
        messaging_opts={"quiet": True},
    )
    try:
        with quiet():
            made = rehearsal.generate_revision(
                revision, message, version_path=folder, **said
            )
    except (CommandError, SyntaxError, ValueError) as error:
        raise UsageError(
            f"the revision would be no Python: {str(error).splitlines()[0]}",
            hint=f"give another message: -m TEXT; or see {script.dir}/{TEMPLATE}",
        ) from None
    assert made is not None
    return Path(made.path)


def _folder(script: ScriptDirectory) -> Path:
    """Where Alembic puts a revision after the head."""
    locations = script._version_locations
    heads = script.get_heads()
    if len(locations) == 1 or not heads:
        return Path(locations[0])
    return Path(script.get_revision(heads[0]).path).parent


def _body(parts: Sequence[tuple[str, Sequence[MigrateOperation]]]) -> str:
    """The body of a function, indented but for its first line."""
    lines: list[str] = []
    for note, operations in parts:
        if note:
            lines += [f"# {line}" for line in textwrap.wrap(note, WIDTH - INDENT - 2)]
        lines += [line for said in statements(operations) for line in said.split("\n")]
    return ("\n" + " " * INDENT).join(lines) or "pass"


def _tidy(text: str) -> str:
    """What the template itself says, as the formatters would have it: Alembic's is not."""
    lines = [line.rstrip() for line in text.rstrip().split("\n")]
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
        simple = token.type == tokenize.STRING and not set(token.string[1:-1]) & {*"'\"\\"}
        if simple and token.string[0] == "'":
            row, (start, end) = token.start[0] - 1, (token.start[1], token.end[1])
            line = lines[row]
            lines[row] = f'{line[:start]}"{token.string[1:-1]}"{line[end:]}'
    body = ast.parse(text).body
    if body and ast.get_docstring(ast.Module(body, [])) and lines[body[0].end_lineno or 0]:
        lines.insert(body[0].end_lineno or 0, "")
    return "\n".join(lines) + "\n"
