"""A revision's blocking operations, written as the online ones that do the same."""

import ast
import difflib
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sexton.files import replace_file
from sexton.online.operation import Online
from sexton.online.python import INDENT, statements
from sexton.online.rewriter import rewritten
from sexton.rehearse.observe import Watched

# Findings that end when the operation is the online one, whatever the rows are.
FIXABLE = ("blocking-index-build", "scan-under-lock")
REGISTERS = "sexton.alembic"


@dataclass(frozen=True)
class Edit:
    """Lines `first` to before `end` of a revision, counted from 0, and the new ones."""

    file: str
    first: int
    end: int
    lines: tuple[str, ...]


def edits_of(statement: Watched) -> tuple[Edit, ...]:
    """The edits that make the statement's operation an online one; none if it has none.

    Only a call `op.name(...)` that is a statement of its own is rewritten: of one in a loop
    or a batch nobody knows for what else it stands.
    """
    if statement.operation is None or statement.line is None:
        return ()
    online = rewritten(statement.operation)
    tree = ast.parse(Path(statement.file).read_text())
    call = _call(tree, statement.line)
    if call is None or not isinstance(online, Online):
        return ()
    text = textwrap.indent("\n".join(statements([online])), " " * call.col_offset)
    lines = tuple(f"{line}\n" for line in text.splitlines())
    assert call.end_lineno is not None
    edit = Edit(statement.file, call.lineno - 1, call.end_lineno, lines)
    return (*_import(statement.file, tree), edit)


def diff(edits: Sequence[Edit]) -> str:
    """Edits of one file as `diff -u` writes them."""
    name = shortened(edits[0].file)
    before = Path(edits[0].file).read_text().splitlines(keepends=True)
    after = _applied(before, edits)
    return "".join(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", n=1))


def write(edits: Iterable[Edit]) -> list[str]:
    """Apply edits to their files, each once; return the files."""
    by_file: dict[str, set[Edit]] = {}
    for edit in edits:
        by_file.setdefault(edit.file, set()).add(edit)
    for file, chosen in by_file.items():
        lines = Path(file).read_text().splitlines(keepends=True)
        replace_file(Path(file), "".join(_applied(lines, chosen)))
    return sorted(by_file)


def _applied(lines: list[str], edits: Iterable[Edit]) -> list[str]:
    for edit in sorted(edits, key=lambda one: one.first, reverse=True):
        lines = [*lines[: edit.first], *edit.lines, *lines[edit.end :]]
    return lines


def _import(file: str, tree: ast.Module) -> tuple[Edit, ...]:
    """The import that registers the online operations, if the revision has none yet."""
    imports = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
    names = [name.name for one in imports for name in one.names]
    if REGISTERS in names or not imports:
        return ()
    line = imports[-1].end_lineno
    assert line is not None
    return (Edit(file, line, line, (f"import {REGISTERS}  # noqa: F401\n",)),)


def shortened(file: str) -> str:
    """A file's name, from the working directory if it is below it."""
    path, here = Path(file).resolve(), Path.cwd().resolve()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file


def _call(tree: ast.Module, line: int) -> ast.Expr | None:
    """The statement `op.name(...)` on a line of a function's own body, if it is one."""
    bodies = (node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    for node in (statement for body in bodies for statement in body):
        if (
            isinstance(node, ast.Expr)
            and node.lineno <= line <= (node.end_lineno or node.lineno)
            and node.col_offset == INDENT
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
            and isinstance(node.value.func.value, ast.Name)
            and node.value.func.value.id == "op"
        ):
            return node
    return None
