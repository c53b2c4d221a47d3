"""The columns that declared soft deletes lack."""

from typing import Any

from sqlalchemy import Boolean, Column, DateTime, text

from sexton.catalog.schema import columns as columns_of
from sexton.database import Connection
from sexton.online.column_operations import AddColumnOnline
from sexton.online.column_operations import SoftDelete as SoftDeleteOperation
from sexton.online.tables import Table
from sexton.reference import Declarations, SoftDelete
from sexton.reference import table as named
from sexton.revision.change import Change, change

FLAG, TIME = "pg_catalog.bool", "pg_catalog.timestamptz"


def lacking(connection: Connection, declared: Declarations) -> dict[str, dict[str, str]]:
    """By table the columns that are to be added, with their types; tables may be absent."""
    found: dict[str, dict[str, str]] = {}
    for soft in declared.soft_delete:
        name = named(soft.table)
        there = columns_of(connection, name)
        wanted = {soft.deleted: FLAG, soft.deleted_at: TIME}
        missing = {c: type for c, type in wanted.items() if c and c not in there}
        if there and missing:
            found[name] = missing
    return found


def changes(declared: Declarations, coming: dict[str, dict[str, str]]) -> list[Change]:
    """What adds them: both at once, or the one that is missing."""
    return [
        _change(soft, coming[named(soft.table)])
        for soft in declared.soft_delete
        if named(soft.table) in coming
    ]


def _change(soft: SoftDelete, missing: dict[str, str]) -> Change:
    name = named(soft.table)
    place = table_of(name)
    if soft.deleted in missing and soft.deleted_at in missing:
        both = (soft.deleted, soft.deleted_at)
        return change(
            f"add {soft.deleted} and {soft.deleted_at} to {name}",
            SoftDeleteOperation("add_soft_delete", place, *both),
        )
    [(column, type)] = missing.items()
    flag = type == FLAG
    made: Column[Any] = (
        Column(column, Boolean(), server_default=text("false"), nullable=False)
        if flag
        else Column(column, DateTime(timezone=True), nullable=True)
    )
    return change(
        f"add {column} to {name}",
        AddColumnOnline(place, made),
        f"A row that has a {soft.deleted_at} is live by {column} until that is set too."
        if flag and soft.deleted_at
        else "",
    )


def table_of(name: str) -> Table:
    """A declared table, `[schema.]name`, as operations have it; raises UsageError."""
    schema, dot, bare = name.rpartition(".")
    return Table(bare, schema if dot else None)
