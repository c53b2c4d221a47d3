"""The text of a first project file.

Nothing is guessed from names: a column called `customer_id` is no reference, and one
called `deleted` is no soft delete, until somebody says so.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sexton.catalog.relations import search_path
from sexton.database import Connection
from sexton.derived.naming import stem
from sexton.drafts.keys import Ids, Key, keys, spell_columns, tables, written
from sexton.drafts.models import lacking
from sexton.project import BUILT_IN
from sexton.text.printable import printable

HEAD = """\
# What is true of this database; the checks that follow: sexton checks
# docs/your-own-tables.md explains every entry.
project = {name}

# Rows that die by mark are never guessed from names. If yours do, say so:
#
#   [[soft_delete]]
#   table = "customers"
#   deleted = "deleted"              # a boolean column, and/or
#   deleted_at = "deleted_at"        # a timestamp column
#
# Then live children of dead parents are findings; on_orphan says what `sexton repair` does
# about them, and guard = true lets the database itself refuse them.
"""


@dataclass(frozen=True)
class Draft:
    """The text of a project file, and what a person should hear of it."""

    text: str
    references: int
    notes: tuple[str, ...]


def draft(
    connection: Connection, name: str | None = None, models: str | None = None
) -> Draft:
    """A project file for a database; `models` is `package.module:metadata`."""
    path = search_path(connection)
    found = keys(connection)
    ids = tables(connection)
    notes: list[str] = []
    if models:
        found += lacking(models, found, ids, path, notes)
    entries, used = [], set[str]()
    for key in found:
        entry = _entry(key, ids, path, used)
        entries.append(entry or f"# Not to be declared, for a dot in a name: {key}")
    called = name or connection.info.dbname
    if called in BUILT_IN and not name:
        called += "_tables"  # the built-in project is declared already
    head = HEAD.format(name=_toml(called))
    return Draft("\n".join([head, *entries]), len(found), tuple(notes))


def _entry(
    key: Key,
    ids: Ids,
    path: Sequence[str],
    used: set[str],
) -> str | None:
    """One `[[reference]]`; None where a name cannot be declared."""
    names = [written(table, ids, path) for table in (key.child, key.parent)]
    if any("." in name for table in (key.child, key.parent) for name in table):
        return None
    child, parent = (
        spell_columns(table, columns)
        for table, columns in zip(names, (key.columns, key.keys), strict=True)
    )
    lines = [f"# {printable(key.state)}"] if key.state else []
    lines += ["[[reference]]", f"child = {_toml(child)}", f"parent = {_toml(parent)}"]
    if key.enforced:
        lines.append('key = "foreign"')
    id = ids.get(key.child, ())
    if id and id != ("id",):
        lines.append(f"id = [{', '.join(map(_toml, id))}]")
    name = f"{stem('.'.join(names[0]), *key.columns)}_dangling"
    if name in used:
        longer = stem(".".join(key.child), key.child[0], *key.columns, key.parent[1])
        number = 1
        while (name := f"{longer}{'' if number == 1 else f'_{number}'}_dangling") in used:
            number += 1
        lines.append(f"name = {_toml(name)}")
    used.add(name)
    if not id:
        lines = [
            f"{printable('.'.join(names[0]))} has no unique key: give it one first",
            *lines,
        ]
        lines = [f"# {line.removeprefix('# ')}" for line in lines]
    return "\n".join([*lines, ""])


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
