"""`op.…_online` and the soft delete's two, for anybody's revisions.

`import sexton.alembic` registers them. Signatures follow Alembic's own. Each does nothing
where its result is there, prints its SQL offline, and may be killed and run again.
"""

from collections.abc import Callable, Sequence
from typing import Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Column

from sexton.ddl.session import Driver, own_session
from sexton.ddl.steps import Step
from sexton.online import columns, indexes, keys
from sexton.online.tables import Table

Build = Callable[[Driver | None], list[Step]]
Reverse = Callable[[], "Online"]


class Online(MigrateOperation):
    """An operation that is steps, and knows its reverse where there is one."""

    def __init__(self, build: Build, back: Reverse | None = None) -> None:
        self.build = build
        self.back = back

    def reverse(self) -> MigrateOperation:
        """The operation that undoes it; ValueError where what was there is not known."""
        if self.back is None:
            raise ValueError("what was there before is not known: say it in the operation")
        return self.back()


@Operations.implementation_for(Online)
def _run(operations: Any, operation: Online) -> None:
    if operations.migration_context.as_sql:
        operations.run_steps(operation.build(None))
        return
    driver = operations.get_bind().connection.driver_connection
    with own_session(driver):
        operations.run_steps(operation.build(driver))


# -- constraints ---------------------------------------------------------------------


def _create_key(key: keys.Key) -> Online:
    return Online(lambda driver: keys.create_key(driver, key), lambda: _drop_key(key))


def _drop_key(key: keys.Key) -> Online:
    return Online(
        lambda driver: keys.drop_constraint(driver, key.name, key.source),
        lambda: _create_key(key),
    )


@Operations.register_operation("create_foreign_key_online")
class CreateForeignKeyOnline(Online):
    """The operation behind `op.create_foreign_key_online`."""

    @classmethod
    def create_foreign_key_online(
        cls,
        operations: Operations,
        constraint_name: str,
        source_table: str,
        referent_table: str,
        local_cols: Sequence[str],
        remote_cols: Sequence[str],
        *,
        source_schema: str | None = None,
        referent_schema: str | None = None,
        **options: Any,
    ) -> None:
        """Make a foreign key NOT VALID, see to its orphans, VALIDATE it.

        `options`: ondelete, onupdate, deferrable, initially, as in Alembic; and `orphans`:
        "refuse", "null" (their columns) or "delete". Raises UsageError, Refused, Busy.
        """
        source = Table(source_table, source_schema)
        referent = Table(referent_table, referent_schema)
        columns = (local_cols, remote_cols)
        key = keys.key_of(constraint_name, (source, referent), columns, **options)
        operations.invoke(_create_key(key))


@Operations.register_operation("drop_constraint_online")
class DropConstraintOnline(Online):
    """The operation behind `op.drop_constraint_online`."""

    @classmethod
    def drop_constraint_online(
        cls,
        operations: Operations,
        constraint_name: str,
        table_name: str,
        *,
        schema: str | None = None,
    ) -> None:
        """Drop a constraint; of a foreign key, lock the parent first."""
        table = Table(table_name, schema)
        operations.invoke(
            Online(lambda driver: keys.drop_constraint(driver, constraint_name, table))
        )


# -- indexes -------------------------------------------------------------------------


def _create_index(index: indexes.Index) -> Online:
    return Online(
        lambda driver: indexes.create_index(driver, index),
        lambda: Online(
            lambda driver: indexes.drop_index(driver, index.name, index.table),
            lambda: _create_index(index),
        ),
    )


@Operations.register_operation("create_index_online")
class CreateIndexOnline(Online):
    """The operation behind `op.create_index_online`."""

    @classmethod
    def create_index_online(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        columns: Sequence[Any],
        *,
        schema: str | None = None,
        unique: bool = False,
        postgresql_where: Any = None,
    ) -> None:
        """Build an index CONCURRENTLY, after dropping what is half built of it."""
        table = Table(table_name, schema)
        index = indexes.Index(index_name, table, tuple(columns), unique, postgresql_where)
        operations.invoke(_create_index(index))


@Operations.register_operation("drop_index_online")
class DropIndexOnline(Online):
    """The operation behind `op.drop_index_online`."""

    @classmethod
    def drop_index_online(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        *,
        schema: str | None = None,
    ) -> None:
        """Drop an index CONCURRENTLY."""
        table = Table(table_name, schema)
        operations.invoke(
            Online(lambda driver: indexes.drop_index(driver, index_name, table))
        )


# -- columns -------------------------------------------------------------------------


@Operations.register_operation("add_column_online")
class AddColumnOnline(Online):
    """The operation behind `op.add_column_online`."""

    @classmethod
    def add_column_online(
        cls,
        operations: Operations,
        table_name: str,
        column: "Column[Any]",
        *,
        schema: str | None = None,
    ) -> None:
        """Add a column; refused where that would rewrite the table."""
        operations.invoke(_add_column(Table(table_name, schema), column))


def _add_column(table: Table, column: "Column[Any]") -> Online:
    return Online(
        lambda driver: columns.add_column(driver, table, column),
        lambda: Online(
            lambda driver: columns.drop_column(driver, table, column.name),
            lambda: _add_column(table, column),
        ),
    )


@Operations.register_operation("drop_column_online")
class DropColumnOnline(Online):
    """The operation behind `op.drop_column_online`."""

    @classmethod
    def drop_column_online(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        *,
        schema: str | None = None,
    ) -> None:
        """Drop a column, with what it holds."""
        table = Table(table_name, schema)
        operations.invoke(
            Online(lambda driver: columns.drop_column(driver, table, column_name))
        )


Pair = Callable[..., list[Step]]


def _either(there: Pair, back: Pair, *arguments: Any) -> Online:
    """An operation of which nothing but its name says which way it goes."""
    return Online(
        lambda driver: there(driver, *arguments),
        lambda: _either(back, there, *arguments),
    )


@Operations.register_operation("set_not_null_online")
@Operations.register_operation("drop_not_null_online")
class NotNullOnline(Online):
    """The operations behind `op.set_not_null_online` and `op.drop_not_null_online`."""

    @classmethod
    def set_not_null_online(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        *,
        schema: str | None = None,
    ) -> None:
        """Make a column NOT NULL, proved by a CHECK beforehand; Refused where one is."""
        both = (columns.set_not_null, columns.drop_not_null)
        operations.invoke(_either(*both, Table(table_name, schema), column_name))

    @classmethod
    def drop_not_null_online(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        *,
        schema: str | None = None,
    ) -> None:
        """Let a column be null."""
        both = (columns.drop_not_null, columns.set_not_null)
        operations.invoke(_either(*both, Table(table_name, schema), column_name))


@Operations.register_operation("add_soft_delete")
@Operations.register_operation("drop_soft_delete")
class SoftDelete(Online):
    """The operations behind `op.add_soft_delete` and `op.drop_soft_delete`."""

    @classmethod
    def add_soft_delete(
        cls,
        operations: Operations,
        table_name: str,
        deleted: str = "deleted",
        deleted_at: str = "deleted_at",
        *,
        schema: str | None = None,
    ) -> None:
        """Add the flag, not null and false, and the time."""
        both = (columns.add_soft_delete, columns.drop_soft_delete)
        operations.invoke(_either(*both, Table(table_name, schema), deleted, deleted_at))

    @classmethod
    def drop_soft_delete(
        cls,
        operations: Operations,
        table_name: str,
        deleted: str = "deleted",
        deleted_at: str = "deleted_at",
        *,
        schema: str | None = None,
    ) -> None:
        """Drop the two; Refused while a row is soft-deleted."""
        both = (columns.drop_soft_delete, columns.add_soft_delete)
        operations.invoke(_either(*both, Table(table_name, schema), deleted, deleted_at))
