"""Operations as Python: calls laid out as ruff and black lay them out."""

import ast
from collections.abc import Iterable
from functools import cache
from typing import Any

from alembic.autogenerate import render_op_text
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations.ops import AddColumnOp
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column

from sexton.online.indexes import Expression, expression

WIDTH = 88  # the formatters' own
INDENT = 4
PREFIXES = {
    "alembic_module_prefix": "op.",
    "sqlalchemy_module_prefix": "sa.",
    "user_module_prefix": None,
    "render_item": None,
}


def statements(operations: Iterable[MigrateOperation]) -> list[str]:
    """Operations as statements, each laid out for a function's body, not indented."""
    return [render_op_text(_context(), operation) for operation in operations]


@cache
def _context() -> AutogenContext:
    migration = MigrationContext.configure(dialect_name="postgresql")
    return AutogenContext(migration, opts=PREFIXES, autogenerate=False)


def call(context: Any, name: str, *arguments: Any, **options: Any) -> str:
    """`op.name(...)` as it stands in a revision's function; absent options are left out.

    `context` is alembic's AutogenContext.
    """
    words = [_written(context, argument) for argument in arguments]
    words += [
        f"{option}={_written(context, value)}"
        for option, value in options.items()
        if value is not None and value is not False
    ]
    prefix = context.opts["alembic_module_prefix"] or ""
    return layout(f"{prefix}{name}({', '.join(words)})")


def _written(context: Any, value: Any) -> str:
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written(context, one) for one in value)}]"
    if isinstance(value, Column):
        # Only alembic knows how types are written, and what is to be imported for them.
        added = ast.parse(render_op_text(context, AddColumnOp("t", value)), mode="eval")
        assert isinstance(added.body, ast.Call)
        return ast.unparse(added.body.args[1])
    if isinstance(value, Expression) or hasattr(value, "compile"):
        prefix = context.opts["sqlalchemy_module_prefix"] or ""
        return f"{prefix}text({expression(value)!r})"
    return repr(value)


def layout(source: str) -> str:
    """An expression, broken into lines where it must be, to be indented by INDENT."""
    return "\n".join(_lines(ast.parse(source, mode="eval").body, "", "", INDENT))


def _lines(node: ast.expr, before: str, after: str, indent: int) -> list[str]:
    flat = f"{before}{_flat(node)}{after}"
    if indent + len(flat) <= WIDTH or not isinstance(node, ast.Call | ast.List):
        return [flat]
    inside: list[tuple[str, ast.expr]]
    if isinstance(node, ast.Call):
        opening, closing = f"{_flat(node.func)}(", ")"
        inside = [("", argument) for argument in node.args]
        inside += [(f"{keyword.arg}=", keyword.value) for keyword in node.keywords]
        within = ", ".join(name + _flat(one) for name, one in inside)
        if indent + INDENT + len(within) <= WIDTH:
            return [f"{before}{opening}", f"{' ' * INDENT}{within}", f"{closing}{after}"]
    else:
        opening, closing = "[", "]"
        inside = [("", element) for element in node.elts]
    lines = [
        f"{' ' * INDENT}{line}"
        for name, one in inside
        for line in _lines(one, name, ",", indent + INDENT)
    ]
    return [f"{before}{opening}", *lines, f"{closing}{after}"]


def _flat(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _string(node.value)
    if isinstance(node, ast.List):
        return f"[{', '.join(map(_flat, node.elts))}]"
    if isinstance(node, ast.Dict):
        pairs = zip(
            map(_flat, filter(None, node.keys)), map(_flat, node.values), strict=True
        )
        return f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"
    if isinstance(node, ast.Call):
        inside = [*map(_flat, node.args)]
        inside += [f"{keyword.arg}={_flat(keyword.value)}" for keyword in node.keywords]
        return f"{_flat(node.func)}({', '.join(inside)})"
    return ast.unparse(node)


def _string(text: str) -> str:
    """A text in double quotes, or in single ones where that saves escapes."""
    if text.count('"') > text.count("'"):
        return repr(text)
    # Beside a single quote, repr chooses double ones.
    return '"' + '\\"'.join(repr(f"'{part}")[2:-1] for part in text.split('"')) + '"'
