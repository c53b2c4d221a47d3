"""`op.…_online` for columns, and the soft delete's two; as those of `operations`."""

from collections.abc import Callable
from typing import Any

from alembic.operations import Operations
from sqlalchemy import Column

from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.online import columns
from sexton.online.operation import Online
from sexton.online.tables import Table


@Operations.register_operation("add_column_online")
class AddColumnOnline(Online):
    """The operation behind `op.add_column_online`."""

    name = "add_column_online"

    def __init__(self, table: Table, column: "Column[Any]") -> None:
        self.table, self.column = table, column

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
        operations.invoke(cls(Table(table_name, schema), column))

    def build(self, driver: Driver | None) -> list[Step]:
        """One step."""
        return columns.add_column(driver, self.table, self.column)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As Alembic's."""
        return (self.table.name, self.column)

    @property
    def options(self) -> dict[str, Any]:
        """As Alembic's."""
        return {"schema": self.table.schema}

    def reverse(self) -> "DropColumnOnline":
        """The operation that drops it."""
        return DropColumnOnline(self.table, self.column.name, self.column)


@Operations.register_operation("drop_column_online")
class DropColumnOnline(Online):
    """The operation behind `op.drop_column_online`."""

    name = "drop_column_online"

    def __init__(
        self,
        table: Table,
        column_name: str,
        column: "Column[Any] | None" = None,
        if_exists: bool = False,
    ) -> None:
        self.table, self.column_name, self.column = table, column_name, column
        self.if_exists = if_exists

    @classmethod
    def drop_column_online(
        cls,
        operations: Operations,
        table_name: str,
        column_name: str,
        *,
        schema: str | None = None,
        column: "Column[Any] | None" = None,
        if_exists: bool = False,
    ) -> None:
        """Drop a column, with what it holds; `column` is for its reverse alone.

        A column that does not exist is refused unless `if_exists`.
        """
        operations.invoke(cls(Table(table_name, schema), column_name, column, if_exists))

    def build(self, driver: Driver | None) -> list[Step]:
        """One step."""
        return columns.drop_column(
            driver, self.table, self.column_name, if_exists=self.if_exists
        )

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As Alembic's."""
        return (self.table.name, self.column_name)

    @property
    def options(self) -> dict[str, Any]:
        """As Alembic's, and the column, where it is known."""
        options = {"schema": self.table.schema, "column": self.column}
        return {**options, "if_exists": self.if_exists}

    def reverse(self) -> AddColumnOnline:
        """The operation that adds it, empty; ValueError where it is not known."""
        if self.column is None:
            raise ValueError(
                f"what the column {self.column_name} was is not known: give "
                "op.drop_column_online column=sa.Column(…)"
            )
        return AddColumnOnline(self.table, self.column)


Build = Callable[..., list[Step]]


class Toggle(Online):
    """An operation of which nothing but its name says which way it goes."""

    ways: dict[str, tuple[Build, str]] = {}  # noqa: RUF012 - by name: steps, the other way
    defaults: tuple[str, ...] = ()

    def __init__(self, name: str, table: Table, *names: str) -> None:
        self.name, self.table, self.names = name, table, names

    def build(self, driver: Driver | None) -> list[Step]:
        """As its name says."""
        return self.ways[self.name][0](driver, self.table, *self.names)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The table, and the columns where they are not called as usual."""
        return (self.table.name, *(self.names if self.names != self.defaults else ()))

    @property
    def options(self) -> dict[str, Any]:
        """As Alembic's."""
        return {"schema": self.table.schema}

    def reverse(self) -> "Toggle":
        """The same, the other way."""
        return type(self)(self.ways[self.name][1], self.table, *self.names)


@Operations.register_operation("set_not_null_online")
@Operations.register_operation("drop_not_null_online")
class NotNullOnline(Toggle):
    """The operations behind `op.set_not_null_online` and `op.drop_not_null_online`."""

    ways = {  # noqa: RUF012
        "set_not_null_online": (columns.set_not_null, "drop_not_null_online"),
        "drop_not_null_online": (columns.drop_not_null, "set_not_null_online"),
    }

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
        table = Table(table_name, schema)
        operations.invoke(cls("set_not_null_online", table, column_name))

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
        table = Table(table_name, schema)
        operations.invoke(cls("drop_not_null_online", table, column_name))


@Operations.register_operation("add_soft_delete")
@Operations.register_operation("drop_soft_delete")
class SoftDelete(Toggle):
    """The operations behind `op.add_soft_delete` and `op.drop_soft_delete`."""

    ways = {  # noqa: RUF012
        "add_soft_delete": (columns.add_soft_delete, "drop_soft_delete"),
        "drop_soft_delete": (columns.drop_soft_delete, "add_soft_delete"),
    }
    defaults = ("deleted", "deleted_at")

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
        table = Table(table_name, schema)
        operations.invoke(cls("add_soft_delete", table, deleted, deleted_at))

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
        table = Table(table_name, schema)
        operations.invoke(cls("drop_soft_delete", table, deleted, deleted_at))
