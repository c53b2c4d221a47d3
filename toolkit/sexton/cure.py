"""Cures: what a check says of its repair, over the rows that its finding query returned."""

# ruff: noqa: S608 - text for people

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Update:
    """A repair: columns of the rows that the finding query returned get other values.

    `set` gives each column an SQL expression over `this`, the row to change, and `found`,
    the row of the finding query; `now()` stands for the time of execution. `why` is a
    sentence that may name, in braces, what the finding query or `select` returns.
    `where` picks those rows that it applies to; `joins` may bring in further tables.

    `this` is the row of the check's table that has the check's key, unless `table` or `on`,
    a mapping of columns to expressions over `found`, say otherwise. The rows are changed
    in the order of `order`, then of their key. The framework adds the key, the values
    before, and the column of the last update, and leaves out secrets.
    """

    set: Mapping[str, str]
    why: str
    where: str = ""
    table: str = ""
    on: Mapping[str, str] | None = None
    joins: str = ""
    select: Mapping[str, str] = field(default_factory=dict)
    order: str = ""


@dataclass(frozen=True)
class Delete:
    """A repair: the rows that the finding query returned are deleted; see `Update`."""

    why: str
    where: str = ""
    table: str = ""
    on: Mapping[str, str] | None = None
    joins: str = ""
    select: Mapping[str, str] = field(default_factory=dict)
    order: str = ""


@dataclass(frozen=True)
class Insert:
    """A repair: a row of `table` is made, one for each `key` that was found to be missing.

    `values` gives each column an SQL expression over `found`; for the rest see `Update`.
    """

    table: str
    values: Mapping[str, str]
    why: str
    key: tuple[str, ...] = ("id",)
    where: str = ""
    joins: str = ""
    select: Mapping[str, str] = field(default_factory=dict)
    order: str = ""


@dataclass(frozen=True)
class Rewrite:
    """A repair that SQL cannot say: `row` takes a row of the finding query.

    It returns the new values of `columns` and, under the name `why`, a sentence; or None.
    The rows are those of the check's table that have the check's key.
    """

    columns: tuple[str, ...]
    row: Callable[[dict[str, Any]], dict[str, Any] | None]


Repair = Update | Delete | Insert | Rewrite


def describe(table: str, repair: Repair) -> str:
    """A repair of a check on a table as a person reads it, near to SQL."""
    if isinstance(repair, Rewrite):
        return f"update {table}: {', '.join(repair.columns)}, as the check's code says"
    if isinstance(repair, Update):
        sets = ",\n    ".join(f"{name} = {sql.strip()}" for name, sql in repair.set.items())
        lines = [f"update {repair.table or table} this\nset {sets}"]
    elif isinstance(repair, Delete):
        lines = [f"delete from {repair.table or table} this"]
    else:
        values = "\n".join(f"    {n} = {sql.strip()}" for n, sql in repair.values.items())
        lines = [f"insert into {repair.table}\n{values}"]
    lines.append("for each row found")
    lines += [repair.joins.strip()] if repair.joins else []
    lines += [f"where {repair.where.strip()}"] if repair.where else []
    return "\n".join(lines)
