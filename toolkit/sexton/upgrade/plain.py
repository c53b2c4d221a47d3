"""Plain operations of Alembic's, and raw SQL, as steps of a plan.

They are not looked into: whether one is done, and what the data has against it, only the
server says when it is run. But which lock PostgreSQL takes for most of them is known.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import MigrateOperation, ops
from sqlalchemy import Column, ForeignKeyConstraint

from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.errors import SextonError
from sexton.online.keys import parents_of
from sexton.online.tables import Table, said
from sexton.text.printable import printable

STRONG = "access exclusive"
KEYS = "share row exclusive"
CONCURRENT = "share update exclusive"
NOTE = "a plain operation: whether it is done, or would be refused, is not known"
UNKNOWN = (
    "it cannot be looked into: its locks, and what it reads or rewrites, are not known"
)
WORDS = 60  # of raw SQL, in characters


@dataclass(frozen=True)
class Plain(Step):
    """A step that is not looked into. `rewrites`: whether it rewrites; None: not known."""

    rewrites: bool | None = False

    def noted(self, *sentences: str) -> "Plain":
        """The same, and what should be known of it."""
        more = tuple(("select", said(sentence)) for sentence in sentences)
        return Plain(**(vars(self) | {"warn": (*self.warn, *more)}))


def refused(title: str, error: SextonError) -> Plain:
    """What stands for an operation that will not do."""
    return Plain(title, refuse=(("select", said(error.message)),), hint=error.hint)


def unknown(title: str, why: str) -> Plain:
    """What stands for what cannot be looked into."""
    return Plain(printable(title), rewrites=None).noted(why)


def describe(operation: MigrateOperation, driver: Driver) -> Plain:
    """An operation as a step: what it does, its lock, its tables, what it reads."""
    for kind, read in _READERS.items():
        if isinstance(operation, kind):
            return read(operation, driver)
    return unknown(f"run the operation {type(operation).__name__}", UNKNOWN)


def _step(
    title: str,
    lock: str | None,
    *names: tuple[str, str | None],
    better: str = "",
    reads: bool = False,
    **more: Any,
) -> Plain:
    try:
        tables = tuple(dict.fromkeys(Table(*name).step_name for name in names))
    except SextonError:  # a name that a step cannot say
        tables = ()
    lock = lock if tables else None
    scans = tables if reads else ()
    step = Plain(printable(title), lock=lock, tables=tables, scans=scans, **more)
    return step.noted(f"{NOTE}; op.{better} says both" if better else NOTE)


def _at(operation: Any) -> tuple[str, str | None]:
    return operation.table_name, operation.schema


def _create_table(operation: Any, _: Driver) -> Plain:
    keys = [
        key
        for item in operation.columns
        if isinstance(item, Column | ForeignKeyConstraint)
        for key in (item.foreign_keys if isinstance(item, Column) else item.elements)
    ]
    referred = []
    for key in keys:
        *schema, table, _column = key.target_fullname.split(".")
        referred.append((table, schema[-1] if schema else None))
    title = f"create the table {operation.table_name}"
    return _step(title, KEYS if referred else None, *referred)


def _add_column(operation: Any, _: Driver) -> Plain:
    column = operation.column
    quiet = not (column.server_default or column.computed or column.identity)
    return _step(
        f"add the column {column.name} to {operation.table_name}",
        STRONG,
        _at(operation),
        better="add_column_online",
        rewrites=False if quiet else None,
    )


def _drop_column(operation: Any, _: Driver) -> Plain:
    return _step(
        f"drop the column {operation.column_name} of {operation.table_name}",
        STRONG,
        _at(operation),
        better="drop_column_online",
        irreversible=said(f"what {operation.column_name} holds is gone"),
    )


def _alter_column(operation: Any, _: Driver) -> Plain:
    proves = operation.modify_nullable is False
    retyped = operation.modify_type is not None
    return _step(
        f"alter the column {operation.column_name} of {operation.table_name}",
        STRONG,
        _at(operation),
        better="set_not_null_online" * (proves and not retyped),
        reads=proves or retyped,
        rewrites=None if retyped else False,
    )


def _create_index(operation: Any, _: Driver) -> Plain:
    beside = bool(operation.kw.get("postgresql_concurrently"))
    return _step(
        f"build the index {operation.index_name} on {operation.table_name}",
        CONCURRENT if beside else "share",
        _at(operation),
        better="create_index_online",
        reads=True,
        outside_transaction=beside,
    )


def _drop_index(operation: Any, _: Driver) -> Plain:
    beside = bool(operation.kw.get("postgresql_concurrently"))
    title = f"drop the index {operation.index_name}"
    better = "drop_index_online"
    if operation.table_name is None:
        lock = CONCURRENT if beside else STRONG
        step = _step(title, None, better=better, outside_transaction=beside)
        return step.noted(f"it locks the index's table, which it does not name: {lock}")
    return _step(
        title,
        CONCURRENT if beside else STRONG,
        _at(operation),
        better=better,
        outside_transaction=beside,
    )


def _create_key(operation: Any, _: Driver) -> Plain:
    return _step(
        f"add the foreign key {operation.constraint_name} to {operation.source_table}",
        KEYS,
        (operation.referent_table, operation.kw.get("referent_schema")),
        (operation.source_table, operation.kw.get("source_schema")),
        better="create_foreign_key_online",
        reads=not operation.kw.get("postgresql_not_valid"),
    )


def _add_unique(operation: Any, driver: Driver) -> Plain:
    return _add_constraint(operation, driver, better="create_unique_online")


def _add_constraint(operation: Any, _: Driver, better: str = "") -> Plain:
    return _step(
        f"add the constraint {operation.constraint_name} to {operation.table_name}",
        STRONG,
        _at(operation),
        better=better,
        reads=not operation.kw.get("postgresql_not_valid"),
    )


def _drop_constraint(operation: Any, driver: Driver) -> Plain:
    parents: list[tuple[str, str | None]] = []
    try:
        table = Table(*_at(operation)).found(driver)
        for parent in parents_of(driver, operation.constraint_name or "", table):
            schema, _, name = parent.partition(".")
            parents.append((name, schema))
    except SextonError:  # an operation before may make the table
        parents = []
    return _step(
        f"drop the constraint {operation.constraint_name} of {operation.table_name}",
        STRONG,
        *parents,
        _at(operation),
        better="drop_constraint_online",
    )


def _bulk_insert(operation: Any, _: Driver) -> Plain:
    table = operation.table
    name = (table.name, table.schema)
    return _step(f"insert rows into {table.name}", "row exclusive", name)


def _execute(operation: Any, _: Driver) -> Plain:
    words = " ".join(str(operation.sqltext).split())
    shown = words if len(words) <= WORDS else f"{words[: WORDS - 1]}…"
    return unknown(f"run SQL: {shown}", UNKNOWN)


def _titled(verb: str, lock: str, **more: Any) -> Callable[[Any, Driver], Plain]:
    def read(operation: Any, _: Driver) -> Plain:
        return _step(f"{verb} {operation.table_name}", lock, _at(operation), **more)

    return read


GONE = "the table's rows are gone"
_READERS: dict[type, Callable[[Any, Driver], Plain]] = {
    ops.CreateTableOp: _create_table,
    ops.DropTableOp: _titled("drop the table", STRONG, irreversible=GONE),
    ops.RenameTableOp: _titled("rename the table", STRONG),
    ops.CreateTableCommentOp: _titled("comment on the table", CONCURRENT),
    ops.DropTableCommentOp: _titled("drop the comment on the table", CONCURRENT),
    ops.AddColumnOp: _add_column,
    ops.DropColumnOp: _drop_column,
    ops.AlterColumnOp: _alter_column,
    ops.CreateIndexOp: _create_index,
    ops.DropIndexOp: _drop_index,
    ops.CreateForeignKeyOp: _create_key,
    CreateExcludeConstraintOp: _add_constraint,
    ops.CreateUniqueConstraintOp: _add_unique,
    ops.AddConstraintOp: _add_constraint,
    ops.DropConstraintOp: _drop_constraint,
    ops.BulkInsertOp: _bulk_insert,
    ops.ExecuteSQLOp: _execute,
}
