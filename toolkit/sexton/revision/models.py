"""What a change of the database asks of SQLAlchemy models, as edits to type."""

from functools import singledispatch

from alembic.operations import MigrateOperation
from sqlalchemy import Column

from sexton.online.column_operations import AddColumnOnline, AddSoftDelete
from sexton.online.indexes import Index, constrains, expression
from sexton.online.operations import (
    FOREIGN_KEY,
    CreateForeignKeyOnline,
    CreateIndexOnline,
    CreateUniqueOnline,
    DropConstraintOnline,
    DropIndexOnline,
)
from sexton.online.tables import Table


@singledispatch
def edits(_: MigrateOperation) -> list[str]:
    """The edits that keep `alembic check` clean; a guard needs none."""
    return []


@edits.register
def _(operation: CreateForeignKeyOnline) -> list[str]:
    key = operation.key
    columns = [f"{_name(key.referent)}.{column}" for column in key.remote_cols]
    options: dict[str, object] = {
        "name": key.name,
        "ondelete": None if key.ondelete == "NO ACTION" else key.ondelete,
        "onupdate": None if key.onupdate == "NO ACTION" else key.onupdate,
        "deferrable": key.deferrable or None,
        "initially": key.initially if key.deferrable else None,
    }
    said = _options(options)
    made = f"ForeignKeyConstraint({[*key.local_cols]}, {columns}{said})"
    return [f"{_name(key.source)}: add {made}"]


@edits.register
def _(operation: DropConstraintOnline) -> list[str]:
    table, name = _name(operation.table), operation.constraint_name
    if operation.type_ != FOREIGN_KEY:
        return [f"{table}: remove the UniqueConstraint {name} (or unique=True)"]
    columns = ", ".join(operation.local_cols or ())
    return [
        f"{table}: remove the ForeignKey {name} of {columns}; give a relationship() over "
        "it primaryjoin= and foreign_keys="
    ]


@edits.register
def _(operation: CreateIndexOnline) -> list[str]:
    return [f"{_name(operation.index.table)}: add {_index(operation.index)}"]


@edits.register
def _(operation: CreateUniqueOnline) -> list[str]:
    index = operation.index
    if not constrains(index):
        return [f"{_name(index.table)}: add {_index(index)}"]
    columns = ", ".join(map(repr, index.columns))
    made = f"UniqueConstraint({columns}, name={index.name!r})"
    return [f"{_name(index.table)}: add {made}"]


@edits.register
def _(operation: DropIndexOnline) -> list[str]:
    name = operation.index_name
    return [f"{_name(operation.table)}: remove the Index {name} (or index=True)"]


@edits.register
def _(operation: AddColumnOnline) -> list[str]:
    table = Table(operation.table_name, operation.schema)
    return [f"{_name(table)}: add {_column(operation.column)}"]


@edits.register
def _(operation: AddSoftDelete) -> list[str]:
    table = _name(Table(operation.table_name, operation.schema))
    flag = "Boolean(), server_default=text('false'), nullable=False"
    return [
        f"{table}: add Column({operation.deleted!r}, {flag})",
        f"{table}: add Column({operation.deleted_at!r}, DateTime(timezone=True))",
    ]


def _name(table: Table) -> str:
    return f"{table.schema}.{table.name}" if table.schema else table.name


def _options(options: dict[str, object]) -> str:
    return "".join(f", {key}={value!r}" for key, value in options.items() if value)


def _text(sql: str) -> str:
    """SQL in SQLAlchemy's `text`, which takes a colon for a parameter."""
    return f"text({sql.replace(':', chr(92) + ':')!r})"


def _index(index: Index) -> str:
    columns = [
        repr(one) if isinstance(one, str) else _text(expression(one))
        for one in index.columns
    ]
    where = "" if index.where is None else _text(expression(index.where))
    options = f", unique={index.unique}" if index.unique else ""
    options += f", postgresql_where={where}" if where else ""
    return f"Index({', '.join([repr(index.name), *columns])}{options})"


def _column(column: "Column[object]") -> str:
    if column.nullable:
        return f"Column({column.name!r}, DateTime(timezone=True))"
    return (
        f"Column({column.name!r}, Boolean(), server_default=text('false'), nullable=False)"
    )
