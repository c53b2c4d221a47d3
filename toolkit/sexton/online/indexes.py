"""Steps for indexes, built and dropped CONCURRENTLY."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.dialects import postgresql

from sexton import condition
from sexton.catalog.relations import column_names, literal, quoted
from sexton.ddl.session import Driver
from sexton.ddl.steps import Step, index_label
from sexton.errors import UsageError
from sexton.online.tables import Table, array, partitioned, said
from sexton.reference import column, is_true


@dataclass(frozen=True)
class Expression:
    """SQL over a table's columns, word for word: SQLAlchemy's `text` reads binds in it."""

    sql: str


@dataclass(frozen=True)
class Index:
    """An index to be: columns by name, or expressions."""

    name: str
    table: Table
    columns: tuple[Any, ...]
    unique: bool = False
    where: Any = None

    def __post_init__(self) -> None:
        """Raise UsageError where it has no columns."""
        if not self.columns:
            raise UsageError(f"the index {self.name} has no columns")

    @property
    def given(self) -> dict[str, Any]:
        """The arguments of `op.create_index_online` that build it."""
        return {
            "index_name": self.name,
            "table_name": self.table.name,
            "columns": self.columns,
            "schema": self.table.schema,
            "unique": self.unique,
            "postgresql_where": self.where,
        }


def create_index(driver: Driver | None, index: Index) -> list[Step]:
    """The steps that build an index; an INVALID one, half built, is dropped first."""
    table = index.table.found(driver)
    named = _named(index.name, table)
    plain = [one if isinstance(one, str) else None for one in index.columns]
    asked = "is not null" if index.where is not None else "is null"
    keys = f"(i.indkey::int2[])[0:{len(index.columns) - 1}]"
    right = f"""
        i.indrelid = {table.oid} and i.indisunique = {str(index.unique).lower()}
        and i.indnkeyatts = {len(index.columns)} and i.indnatts = i.indnkeyatts
        and i.indpred {asked} and {column_names("i.indrelid", keys)} = {array(plain)}
    """
    columns = ", ".join(
        quoted(one) if isinstance(one, str) else f"({expression(one)})"
        for one in index.columns
    )
    build = f"create {'unique ' * index.unique}index concurrently {quoted(index.name)} "
    build += f"on {table.sql} ({columns})"
    if index.where is not None:
        build += f" where {expression(index.where)}"
    look = [_look(index, table, f"select exists ({named} and {right} and i.indisvalid)")]
    common: dict[str, Any] = {
        "lock": "share update exclusive",
        "tables": (table.step_name,),
        "outside_transaction": True,
    }
    return [
        *(look if index.unique else []),
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


def _look(index: Index, table: Table, done: str) -> Step:
    """The step that refuses rows that a unique index cannot hold, before it is built."""
    keys = [
        quoted(one) if isinstance(one, str) else f"({expression(one)}\n)"
        for one in index.columns
    ]
    counted = [f"{key} is not null" for key in keys]
    if index.where is not None:
        counted.append(f"(\n{expression(index.where)}\n)")
    same = f"""
        select from {table.rows} where {" and ".join(counted)}
        group by {", ".join(keys)} having count(*) > 1 limit 1
    """
    shown = ", ".join(
        one if isinstance(one, str) else " ".join(expression(one).split())
        for one in index.columns
    )
    return Step(
        f"look for rows of {table.name} that {index.name} forbids",
        done=done,
        refuse=((same, said(f"rows of {table.name} have the same {shown}")),),
        scans=(table.step_name,),
        hint="change or repair them first. The check of a [[unique]] lists those of live "
        "rows; of all rows, one is a value that was used again after a deletion",
    )


def unique_of(name: str, table: Table, columns: Sequence[Any], among: Any = None) -> Index:
    """A unique index from the arguments of an operation; raises UsageError.

    A text that is no name is an expression; a name that is not one word is in quotes.
    """
    read = []
    for given in columns:
        text = given if isinstance(given, str) else expression(given)
        named = column(text)
        if named is None:
            closed(name, text)
        read.append(Expression(text) if named is None else named)
    if isinstance(among, str) and is_true(among):
        among = None
    return Index(name, table, tuple(read), True, among)


def closed(name: str, text: str) -> str:
    """An expression that is closed in itself; raises UsageError for another."""
    try:
        condition.closed(text)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    return text


def spelt(given: Any) -> str:
    """A column or an expression as `unique_of` reads it."""
    if not isinstance(given, str):
        return expression(given)
    return given if column(given) == given else quoted(given)


def create_unique(driver: Driver | None, index: Index) -> list[Step]:
    """The steps that build a unique index, and make a constraint of one that can be."""
    built = create_index(driver, index)
    if not constrains(index):
        return built
    table = index.table.found(driver)
    mine = f"k.conrelid = {table.oid} and k.conname = {literal(index.name)}"
    there = f"""
        select from pg_constraint k
        where {mine} and k.contype = 'u' and not k.condeferrable
          and {column_names("k.conrelid", "k.conkey")} = {array(index.columns)}
    """
    return [
        *built,
        Step(
            f"make the index {index.name} a constraint of {table.name}",
            lock="access exclusive",
            tables=(table.step_name,),
            done=f"select exists ({there})",
            refuse=(
                (
                    f"select from pg_constraint k where {mine} and not exists ({there})",
                    said(f"{table.name} has another constraint {index.name}"),
                ),
            ),
            sql=(
                f"alter table {table.sql} add constraint {quoted(index.name)} "
                f"unique using index {quoted(index.name)}",
            ),
        ),
    ]


def constrains(index: Index) -> bool:
    """Whether a unique index can be a constraint: all rows, columns by name."""
    return index.where is None and all(isinstance(one, str) for one in index.columns)


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
    if isinstance(given, str | Expression):
        return given if isinstance(given, str) else given.sql
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
