"""Steps for indexes, built and dropped CONCURRENTLY."""

import itertools
from dataclasses import dataclass
from typing import Any

from sqlalchemy.dialects import postgresql

from sexton.catalog.relations import column_names, literal, quoted
from sexton.ddl.session import Driver
from sexton.ddl.steps import Step, index_label
from sexton.errors import UsageError
from sexton.online.tables import Table, array, partitioned, said


@dataclass(frozen=True)
class Index:
    """An index to be: columns by name, or expressions as SQLAlchemy's `text`."""

    name: str
    table: Table
    columns: tuple[Any, ...]
    unique: bool = False
    where: Any = None

    def __post_init__(self) -> None:
        """Raise UsageError where it has no columns."""
        if not self.columns:
            raise UsageError(f"the index {self.name} has no columns")


def create_index(driver: Driver | None, index: Index) -> list[Step]:
    """The steps that build an index; an INVALID one, half built, is dropped first."""
    table = index.table.found(driver)
    named = _named(index.name, table)
    plain = [column if isinstance(column, str) else None for column in index.columns]
    asked = "is not null" if index.where is not None else "is null"
    keys = f"(i.indkey::int2[])[0:{len(index.columns) - 1}]"
    right = f"""
        i.indrelid = {table.oid} and i.indisunique = {str(index.unique).lower()}
        and i.indnkeyatts = {len(index.columns)} and i.indnatts = i.indnkeyatts
        and i.indpred {asked} and {column_names("i.indrelid", keys)} = {array(plain)}
    """
    columns = ", ".join(
        quoted(column) if isinstance(column, str) else f"({expression(column)})"
        for column in index.columns
    )
    build = f"create {'unique ' * index.unique}index concurrently {quoted(index.name)} "
    build += f"on {table.sql} ({columns})"
    if index.where is not None:
        build += f" where {expression(index.where)}"
    common: dict[str, Any] = {
        "lock": "share update exclusive",
        "tables": (table.step_name,),
        "outside_transaction": True,
    }
    return [
        Step(
            f"drop what is half built of the index {index.name}",
            done=f"select not exists ({named} and {right} and not i.indisvalid)",
            sql=(f"drop index concurrently if exists {_whole(index.name, table)}",),
            **common,
        ),
        Step(
            f"build the index {index.name} on {table.name}",
            done=f"select exists ({named} and {right} and i.indisvalid)",
            refuse=(
                (
                    partitioned(table),
                    said(f"{table.name} is partitioned: index its partitions, one by one"),
                ),
                (
                    f"{named} and not ({right})",
                    said(f"there is another index {index.name}"),
                ),
            ),
            scans=(table.step_name,),
            builds=() if index.where is not None else _labels(table, plain),
            sql=(build,),
            **common,
        ),
    ]


def _labels(table: Table, columns: list[str | None]) -> tuple[str, ...]:
    """The labels of an index by its first column, its first two, and so on."""
    first = list(itertools.takewhile(lambda column: column is not None, columns))
    named = [column for column in first if column is not None]
    return tuple(
        index_label(table.schema, table.name, named[: n + 1]) for n in range(len(named))
    )


def drop_index(
    driver: Driver | None, name: str, table: Table, *, if_exists: bool = False
) -> list[Step]:
    """The step that drops an index of a table; refused if there is none, or `if_exists`."""
    table = table.found(driver)
    mine = f"{_named(name, table)} and i.indrelid = {table.oid}"
    return [
        Step(
            f"drop the index {name}",
            lock="share update exclusive",
            tables=(table.step_name,),
            outside_transaction=True,
            done=f"select not exists ({mine})",
            refuse=(
                (
                    partitioned(table),
                    said(f"{table.name} is partitioned: its index needs a lock to go"),
                ),
                (
                    f"{mine} and exists (select from pg_constraint k "
                    "where k.conindid = i.indexrelid and k.conrelid = i.indrelid)",
                    said(f"{name} belongs to a constraint: op.drop_constraint_online"),
                ),
            ),
            absent=() if if_exists else (_others(name, table),),
            sql=(f"drop index concurrently {_whole(name, table)}",),
            hint="name it as the table does; or if_exists=True if it may be missing",
        )
    ]


def _others(name: str, table: Table) -> tuple[str, str]:
    """The question which indexes the table has, and the sentence."""
    query = f"""
        select coalesce(string_agg(c.relname::text, ', ' order by c.relname), 'none')
            as names
        from pg_index i join pg_class c on c.oid = i.indexrelid
        where i.indrelid = {table.oid}
    """  # noqa: S608
    return query, said(f"{table.name} has no index {name}") + "; it has: {names}"


def expression(given: Any) -> str:
    """SQL from a text or an expression of SQLAlchemy's."""
    if isinstance(given, str):
        return given
    dialect: Any = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    words = {"literal_binds": True, "include_table": False}
    return str(given.compile(dialect=dialect, compile_kwargs=words))


def _whole(name: str, table: Table) -> str:
    return f"{quoted(table.schema)}.{quoted(name)}" if table.schema else quoted(name)


def _named(name: str, table: Table) -> str:
    # An index lies in the schema of its table.
    return f"""
        select from pg_index i
        join pg_class c on c.oid = i.indexrelid
        where c.relname = {literal(name)}
          and c.relnamespace = (select relnamespace from pg_class where oid = {table.oid})
    """  # noqa: S608
