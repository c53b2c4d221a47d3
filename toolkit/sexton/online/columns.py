"""Steps for columns: add, drop, NOT NULL, and a soft delete's two."""

import hashlib
import re
from typing import Any

from sqlalchemy import Column, MetaData
from sqlalchemy import Table as Declared
from sqlalchemy.dialects import postgresql

from sexton.catalog.relations import literal, quoted
from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.errors import UsageError
from sexton.online.tables import Table, array, column_where, said

LOCK = "access exclusive"
NOT_NULL = """
    a.attnotnull and not exists (
        select from pg_constraint n
        where n.conrelid = a.attrelid and n.contype = 'n'
          and n.conkey = array[a.attnum] and not n.convalidated
    )
"""


def add_column(driver: Driver | None, table: Table, column: "Column[Any]") -> list[Step]:
    """The step that adds a column without rewriting the table."""
    table = table.found(driver)
    if column.primary_key or column.computed or column.identity:
        raise UsageError(f"to add {column.name} would rewrite the table")
    if column.foreign_keys or column.unique or column.index:
        raise UsageError(
            f"{column.name} is to have an index or a key",
            hint="op.create_index_online, op.create_foreign_key_online, after it",
        )
    declared = column._copy()
    Declared(table.name, MetaData(), declared)
    dialect: Any = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    compiler = dialect.ddl_compiler(dialect, None)
    definition = compiler.get_column_specification(declared)
    default = compiler.get_column_default_string(declared)
    type_ = literal(declared.type.compile(dialect=dialect))
    right = f"coalesce(a.atttypid = to_regtype({type_}), true)"
    right += f" and {'not ' * bool(declared.nullable)}a.attnotnull"
    right += f" and {'not ' * (default is None)}a.atthasdef"
    called = re.findall(r"(\w+)\s*\(", re.sub(r"'(?:[^']|'')*'", "", default or ""))
    volatile = f"""
        select proname::text as name from pg_proc
        where provolatile = 'v'
          and proname = any ({array([word.lower() for word in called])}) limit 1
    """  # noqa: S608
    return [
        Step(
            f"add the column {column.name} to {table.name}",
            lock=LOCK,
            tables=(table.step_name,),
            done=f"select {column_where(table, column.name, right)}",
            refuse=(
                (
                    f"select where {column_where(table, column.name, f'not ({right})')}",
                    said(f"{table.name} has another column {column.name}"),
                ),
                (volatile, "{name}() as a default would rewrite the table"),
            ),
            sql=(f"alter table {table.sql} add column {definition}",),
            hint="add it without that default, then give it one, then fill it in batches",
        )
    ]


def drop_column(
    driver: Driver | None, table: Table, column: str, *, if_exists: bool = False
) -> list[Step]:
    """The step that drops a column; refused if there is none, or `if_exists`."""
    table = table.found(driver)
    return [
        Step(
            f"drop the column {column} of {table.name}",
            lock=LOCK,
            tables=(table.step_name,),
            done=f"select not {column_where(table, column)}",
            sql=(f"alter table {table.sql} drop column {quoted(column)}",),
            absent=() if if_exists else (_others(column, table),),
            irreversible=f"what {table.name}.{column} holds is gone",
            hint="name it as the table does; or if_exists=True if it may be missing",
        )
    ]


def _others(column: str, table: Table) -> tuple[str, str]:
    """The question which columns the table has, and the sentence."""
    query = f"""
        select string_agg(a.attname::text, ', ' order by a.attnum) as names
        from pg_attribute a
        where a.attrelid = {table.oid} and a.attnum > 0 and not a.attisdropped
    """  # noqa: S608
    return query, said(f"{table.name} has no column {column}") + "; it has: {names}"


def set_not_null(driver: Driver | None, table: Table, column: str) -> list[Step]:
    """The steps that make a column NOT NULL, by a CHECK that is proved beforehand."""
    table = table.found(driver)
    check = "sexton_not_null_" + hashlib.sha256(column.encode()).hexdigest()[:12]
    there = f"""
        exists (
            select from pg_constraint k
            where k.conrelid = {table.oid} and k.contype = 'c' and k.conname = '{check}'
    """
    is_set = column_where(table, column, NOT_NULL)
    nulls = f"select from {table.rows} where {quoted(column)} is null limit 1"
    tables = (table.step_name,)
    alter = f"alter table {table.sql}"
    return [
        Step(
            f"look for nulls in {table.name}.{column}",
            done=f"select {is_set}",
            refuse=((nulls, said(f"rows of {table.name} have no {column}")),),
            scans=tables,
            hint="fill them in first",
        ),
        Step(
            f"let {table.name}.{column} take no more nulls",
            lock=LOCK,
            tables=tables,
            done=f"select {is_set} or {there})",
            sql=(
                f"{alter} add constraint {check} "
                f"check ({quoted(column)} is not null) not valid",
            ),
        ),
        Step(
            f"validate that {table.name}.{column} has no nulls",
            lock="share update exclusive",
            tables=tables,
            outside_transaction=True,
            scans=tables,
            done=f"select {is_set} or {there} and k.convalidated)",
            sql=(f"{alter} validate constraint {check}",),
        ),
        Step(
            f"set {table.name}.{column} not null",
            lock=LOCK,
            tables=tables,
            done=f"select {is_set} and not {there})",
            sql=(
                f"{alter} alter column {quoted(column)} set not null",
                f"{alter} drop constraint if exists {check}",
            ),
        ),
    ]


def drop_not_null(driver: Driver | None, table: Table, column: str) -> list[Step]:
    """The step that lets a column be null again."""
    table = table.found(driver)
    return [
        Step(
            f"let {table.name}.{column} be null",
            lock=LOCK,
            tables=(table.step_name,),
            done=f"select {column_where(table, column, 'not a.attnotnull')}",
            sql=(f"alter table {table.sql} alter column {quoted(column)} drop not null",),
        )
    ]


def add_soft_delete(
    driver: Driver | None, table: Table, deleted: str, deleted_at: str
) -> list[Step]:
    """The step that adds the two columns of a soft delete; every row lives."""
    table = table.found(driver)
    flag = "a.atttypid = 'bool'::regtype and a.attnotnull and a.atthasdef"
    time = "a.atttypid = 'timestamptz'::regtype and not a.attnotnull"
    columns = ((deleted, flag), (deleted_at, time))
    right = " and ".join(column_where(table, *column) for column in columns)
    wrong = " or ".join(
        column_where(table, name, f"not ({holds})") for name, holds in columns
    )
    return [
        Step(
            f"add {deleted} and {deleted_at} to {table.name}",
            lock=LOCK,
            tables=(table.step_name,),
            done=f"select {right}",
            refuse=(
                (
                    f"select where {wrong}",
                    said(f"{table.name} has another {deleted} or {deleted_at}"),
                ),
            ),
            sql=(
                f"alter table {table.sql} "
                f"add column if not exists {quoted(deleted)} "
                "boolean default false not null, "
                f"add column if not exists {quoted(deleted_at)} timestamp with time zone",
            ),
        )
    ]


def drop_soft_delete(
    driver: Driver | None, table: Table, deleted: str, deleted_at: str
) -> list[Step]:
    """The step that drops the two columns; refused while a row is soft-deleted."""
    table = table.found(driver)
    gone = " and ".join(f"not {column_where(table, c)}" for c in (deleted, deleted_at))
    # A killed run leaves both columns or none, and one alone may never have been there.
    row = f"pg_catalog.to_jsonb(t) ->> {literal(deleted)}"
    dead = f"select from {table.rows} as t where {row} = 'true' limit 1"
    return [
        Step(
            f"drop {deleted} and {deleted_at} of {table.name}",
            lock=LOCK,
            tables=(table.step_name,),
            done=f"select {gone}",
            refuse=(
                (
                    dead,
                    said(f"rows of {table.name} are soft-deleted: they would live"),
                ),
            ),
            sql=(
                f"alter table {table.sql} drop column if exists {quoted(deleted)}, "
                f"drop column if exists {quoted(deleted_at)}",
            ),
            irreversible=f"when rows of {table.name} were deleted is not known any more",
            hint="delete them for good, or revive them, first",
        )
    ]
