"""Keys that SQLAlchemy's metadata declares and a database lacks."""

import importlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sexton.drafts.keys import Ids, Key, spell_columns, written
from sexton.errors import UsageError
from sexton.text.printable import printable, shown


def lacking(
    models: str,
    found: Iterable[Key],
    ids: Ids,
    path: Sequence[str],
    notes: list[str],
) -> list[Key]:
    """The keys that models declare and the database has not; `notes` say which."""
    known = {key.pairs for key in found}
    lacking: dict[tuple[object, ...], Key] = {}
    for constraint in _constraints(models):
        child = _at(constraint.table, ids, path)
        parent = _at(constraint.referred_table, ids, path)
        if child is None or parent is None:
            absent = constraint.table if child is None else constraint.referred_table
            notes.append(
                f"the database has no table {printable(str(absent))} of the models"
            )
            continue
        key = Key(
            child,
            tuple(element.parent.name for element in constraint.elements),
            parent,
            tuple(element.column.name for element in constraint.elements),
            "declared in the models; the database does not enforce it",
        )
        if key.pairs not in known and key.pairs not in lacking:
            lacking[key.pairs] = key
            source = spell_columns(written(child, ids, path), key.columns)
            target = spell_columns(written(parent, ids, path), key.keys)
            notes.append(
                f"the models declare a key that the database lacks: {printable(source)} -> "
                f"{printable(target)}"
            )
    return list(lacking.values())


def _at(table: Any, ids: Ids, path: Sequence[str]) -> tuple[str, str] | None:
    """Where a table of the models lies in the database."""
    schemas = [table.schema] if table.schema else path
    return next(((s, table.name) for s in schemas if (s, table.name) in ids), None)


def _constraints(models: str) -> list[Any]:
    """The foreign keys of SQLAlchemy's metadata; raises UsageError."""
    module, colon, names = models.partition(":")
    if not module or not colon or not names:
        raise UsageError(
            f"--models {shown(models)} names no metadata",
            hint="write --models package.module:Base",
        )
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` and Alembic do
    try:
        found: Any = importlib.import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except Exception as error:
        raise UsageError(
            printable(f"--models {models}: {type(error).__name__}: {error}"),
            hint="it is imported from the working directory",
        ) from None
    metadata = getattr(found, "metadata", found)
    tables = getattr(metadata, "sorted_tables", None)
    if tables is None:
        raise UsageError(
            f"--models {models} is no MetaData, nor a base with one",
            hint="write --models package.module:Base",
        )
    constraints = [key for table in tables for key in table.foreign_key_constraints]
    return sorted(constraints, key=lambda key: (str(key.table), list(key.column_keys)))
