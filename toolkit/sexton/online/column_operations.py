"""`op.…_online` for columns, and the soft delete's two; as those of `operations`."""

from dataclasses import KW_ONLY
from typing import Any

from sqlalchemy import Column

from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.online import columns
from sexton.online.operation import Online
from sexton.online.tables import Table


class AddColumnOnline(Online, name="add_column_online"):
    """Add a column; refused where that would rewrite the table."""

    table_name: str
    column: "Column[Any]"
    _: KW_ONLY
    schema: str | None = None

    def build(self, driver: Driver | None) -> list[Step]:
        """One step."""
        table = Table(self.table_name, self.schema)
        return columns.add_column(driver, table, self.column)

    def reverse(self) -> "DropColumnOnline":
        """The operation that drops it."""
        return DropColumnOnline(column_name=self.column.name, **self.given)


class DropColumnOnline(Online, name="drop_column_online"):
    """Drop a column, with what it holds; `column` is for its reverse alone.

    A column that does not exist is refused unless `if_exists`.
    """

    table_name: str
    column_name: str
    _: KW_ONLY
    schema: str | None = None
    column: "Column[Any] | None" = None
    if_exists: bool = False

    def build(self, driver: Driver | None) -> list[Step]:
        """One step."""
        table = Table(self.table_name, self.schema)
        return columns.drop_column(
            driver, table, self.column_name, if_exists=self.if_exists
        )

    def reverse(self) -> AddColumnOnline:
        """The operation that adds it, empty; ValueError where it is not known."""
        if self.column is None:
            raise ValueError(
                f"what the column {self.column_name} was is not known: give "
                "op.drop_column_online column=sa.Column(…)"
            )
        return AddColumnOnline(self.table_name, self.column, schema=self.schema)


class SetNotNullOnline(Online, name="set_not_null_online"):
    """Make a column NOT NULL, proved by a CHECK beforehand; Refused where one is."""

    table_name: str
    column_name: str
    _: KW_ONLY
    schema: str | None = None

    def build(self, driver: Driver | None) -> list[Step]:
        """The CHECK, NOT NULL, and without the CHECK again."""
        table = Table(self.table_name, self.schema)
        return columns.set_not_null(driver, table, self.column_name)

    def reverse(self) -> "DropNotNullOnline":
        """The operation that lets it be null."""
        return DropNotNullOnline(**self.given)


class DropNotNullOnline(Online, name="drop_not_null_online"):
    """Let a column be null."""

    table_name: str
    column_name: str
    _: KW_ONLY
    schema: str | None = None

    def build(self, driver: Driver | None) -> list[Step]:
        """One step."""
        table = Table(self.table_name, self.schema)
        return columns.drop_not_null(driver, table, self.column_name)

    def reverse(self) -> SetNotNullOnline:
        """The operation that forbids null again."""
        return SetNotNullOnline(**self.given)


class AddSoftDelete(Online, name="add_soft_delete"):
    """Add the flag, not null and false, and the time."""

    table_name: str
    deleted: str = "deleted"
    deleted_at: str = "deleted_at"
    _: KW_ONLY
    schema: str | None = None

    def build(self, driver: Driver | None) -> list[Step]:
        """Both columns."""
        table = Table(self.table_name, self.schema)
        return columns.add_soft_delete(driver, table, self.deleted, self.deleted_at)

    def reverse(self) -> "DropSoftDelete":
        """The operation that drops them."""
        return DropSoftDelete(**self.given)


class DropSoftDelete(Online, name="drop_soft_delete"):
    """Drop the two; Refused while a row is soft-deleted."""

    table_name: str
    deleted: str = "deleted"
    deleted_at: str = "deleted_at"
    _: KW_ONLY
    schema: str | None = None

    def build(self, driver: Driver | None) -> list[Step]:
        """Both columns."""
        table = Table(self.table_name, self.schema)
        return columns.drop_soft_delete(driver, table, self.deleted, self.deleted_at)

    def reverse(self) -> AddSoftDelete:
        """The operation that adds them."""
        return AddSoftDelete(**self.given)
