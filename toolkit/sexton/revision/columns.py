"""The columns that declared soft deletes lack."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Column, DateTime, text

from sexton.catalog.relations import Relation
from sexton.catalog.schema import columns as columns_of
from sexton.database import Connection, scalar
from sexton.errors import Refused
from sexton.online.column_operations import AddColumnOnline, AddSoftDelete
from sexton.online.tables import Table
from sexton.reference import Declarations, SoftDelete
from sexton.reference import table as named
from sexton.revision.change import Change, change

PARTITION = """
    select c.relispartition from pg_catalog.pg_class c
    where c.oid = %s::pg_catalog.int8::pg_catalog.oid
"""
FLAG, TIME = "pg_catalog.bool", "pg_catalog.timestamptz"


def lacking(connection: Connection, declared: Declarations) -> dict[str, dict[str, str]]:
    """By table the columns that are to be added, with their types; tables may be absent."""
    found: dict[str, dict[str, str]] = {}
    for soft in declared.soft_delete:
        if soft.live is not None:
            continue  # its columns are the team's own
        name = named(soft.table)
        there = columns_of(connection, name)
        wanted = {soft.deleted: FLAG, soft.deleted_at: TIME}
        missing = {c: type for c, type in wanted.items() if c and c not in there}
        if there and missing:
            found[name] = missing
    return found


def changes(
    connection: Connection,
    declared: Declarations,
    coming: dict[str, dict[str, str]],
    relations: Mapping[str, Relation],
) -> list[Change]:
    """What adds them: both at once, or the one that is missing; raises Refused."""
    for name in coming:
        _require_own(connection, name, relations[name])
    return [
        _change(soft, coming[named(soft.table)])
        for soft in declared.soft_delete
        if named(soft.table) in coming and soft.live is None
    ]


def _require_own(connection: Connection, name: str, relation: Relation) -> None:
    """Insist on a table that columns can be added to."""
    why = "" if relation.kind in ("r", "p") else "is no table"
    if scalar(connection, PARTITION, relation.oid):
        why = "is a partition, which has the columns of its parent"
    if why:
        raise Refused(
            f"no column can be added to {name}: it {why}",
            hint="declare the soft delete of the table itself",
        )


def _change(soft: SoftDelete, missing: dict[str, str]) -> Change:
    name = named(soft.table)
    place = table_of(name)
    if soft.deleted in missing and soft.deleted_at in missing:
        both = (soft.deleted, soft.deleted_at)
        return change(
            f"add {soft.deleted} and {soft.deleted_at} to {name}",
            AddSoftDelete(place.name, *both, schema=place.schema),
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
        AddColumnOnline(place.name, made, schema=place.schema),
        f"A row that has a {soft.deleted_at} is live by {column} until that is set too."
        if flag and soft.deleted_at
        else "",
    )


def table_of(name: str) -> Table:
    """A declared table, `[schema.]name`, as operations have it; raises UsageError."""
    schema, dot, bare = name.rpartition(".")
    return Table(bare, schema if dot else None)
