"""The text of a first project file.

Nothing is declared by its name: a column called `customer_id` is no reference, and one
called `deleted` is proposed as a soft delete in a comment.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sexton.catalog.relations import search_path
from sexton.database import Connection
from sexton.derived.naming import stem
from sexton.drafts.keys import Ids, Key, keys, spell_columns, spell_table, tables, written
from sexton.drafts.models import lacking
from sexton.drafts.soft_deletes import Proposal, proposals
from sexton.project import BUILT_IN
from sexton.text.printable import printable

HEAD = """\
# What is true of this database; the checks that follow: sexton checks
# docs/your-own-tables.md explains every entry.
project = {name}

# Soft-deleted tables are not declared automatically. {proposed}:
#
{example}
#
# Then each live row that refers to a deleted parent is a finding: on_orphan sets what
# `sexton repair` does about it, and guard = true lets the database itself refuse it.
# With on_delete = "keep" rows may refer to a deleted parent, as an old invoice does.
"""
EXAMPLE = """\
#   [[soft_delete]]
#   table = "customers"
#   deleted = "deleted"              # a boolean column, and/or
#   deleted_at = "deleted_at"        # a nullable timestamp column"""


@dataclass(frozen=True)
class Draft:
    """The text of a project file, and notes for the person who reads it."""

    text: str
    references: int
    soft_deletes: int
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
    proposed = [p for p in proposals(connection) if not any("." in n for n in p.table)]
    deletable = {proposal.table for proposal in proposed}
    for key in found:
        entry = _entry(key, ids, path, used, kept=key.parent in deletable)
        entries.append(entry or f"# Not to be declared, for a dot in a name: {key}")
    called = name or connection.info.dbname
    if called in BUILT_IN and not name:
        called += "_tables"  # the built-in project is declared already
    head = HEAD.format(
        name=_toml(called),
        proposed="Uncomment the entries that are true" if proposed else "For example",
        example="\n#\n".join(_commented(p, ids, path) for p in proposed) or EXAMPLE,
    )
    text = "\n".join([head, *entries])
    return Draft(text, len(found), len(proposed), tuple(notes))


def _commented(proposal: Proposal, ids: Ids, path: Sequence[str]) -> str:
    table = spell_table(written(proposal.table, ids, path))
    lines = ["[[soft_delete]]", f"table = {_toml(table)}", *proposal.lines]
    for columns in proposal.uniques:
        said = ", ".join(map(_toml, columns))
        lines += ["", "[[unique]]", f"table = {_toml(table)}", f"columns = [{said}]"]
    return "\n".join(f"# {line}".rstrip() for line in lines)


def _entry(
    key: Key, ids: Ids, path: Sequence[str], used: set[str], *, kept: bool
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
    if kept:
        lines.append('on_delete = "keep"')
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
