"""`op.create_check_constraint_online` and `op.backfill_online`: conditions on rows."""

from collections.abc import Mapping
from dataclasses import KW_ONLY
from typing import Any

from sexton.catalog.relations import literal, quoted
from sexton.ddl.row_changes import RowChange
from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.errors import UsageError
from sexton.online.indexes import closed, expression
from sexton.online.operation import Online
from sexton.online.operations import DropConstraintOnline
from sexton.online.tables import Table, said


class CreateCheckConstraintOnline(Online, name="create_check_constraint_online"):
    """Add a CHECK constraint as NOT VALID, then validate it without blocking writers.

    `condition` is SQL over the table's columns. Rows for which it is false are refused
    before anything is changed. A constraint of that name that is valid counts as done.
    Raises UsageError, Refused, Busy.
    """

    constraint_name: str
    table_name: str
    condition: Any
    _: KW_ONLY
    schema: str | None = None

    def build(self, driver: Driver | None) -> list[Step]:
        """Look for rows that violate it, add it, validate it."""
        table = Table(self.table_name, self.schema).found(driver)
        text = closed(self.constraint_name, expression(self.condition))
        there = f"""
            exists (
                select from pg_constraint k
                where k.conrelid = {table.oid} and k.contype = 'c'
                  and k.conname = {literal(self.constraint_name)}
        """
        violating = f"select from {table.rows} where not (\n{text}\n) limit 1"
        tables = (table.step_name,)
        alter, name = f"alter table {table.sql}", quoted(self.constraint_name)
        return [
            Step(
                f"look for rows of {table.name} that violate {self.constraint_name}",
                done=f"select {there})",
                refuse=(
                    (
                        violating,
                        said(f"rows of {table.name} violate {self.constraint_name}"),
                    ),
                ),
                scans=tables,
                hint="correct them first; op.backfill_online does it in batches",
            ),
            Step(
                f"add the constraint {self.constraint_name} to {table.name}, NOT VALID",
                lock="access exclusive",
                tables=tables,
                done=f"select {there})",
                sql=(f"{alter} add constraint {name} check (\n{text}\n) not valid",),
            ),
            Step(
                f"validate the constraint {self.constraint_name}",
                lock="share update exclusive",
                tables=tables,
                outside_transaction=True,
                scans=tables,
                done=f"select {there} and k.convalidated)",
                sql=(f"{alter} validate constraint {name}",),
            ),
        ]

    def reverse(self) -> DropConstraintOnline:
        """The operation that drops it."""
        return DropConstraintOnline(
            self.constraint_name, self.table_name, "check", schema=self.schema
        )


class BackfillOnline(Online, name="backfill_online"):
    """Change rows in batches, each row in the journal, without blocking their writers.

    `set` are SQL expressions by column, over the columns of the row before, which is
    `this` as well. `where` says which rows, likewise; a changed row must no longer fit it.
    By default those whose values differ from `set`.
    Killed and run again, it continues with the rows that still fit. `sexton undo` reverts
    it; downgrade() needs none of its own. Raises UsageError, Refused, Busy.
    """

    table_name: str
    set: Mapping[str, str]
    where: Any = None
    _: KW_ONLY
    schema: str | None = None

    def build(self, driver: Driver | None) -> list[Step]:
        """One step."""
        table = Table(self.table_name, self.schema).found(driver)
        if not self.set:
            raise UsageError(f"the backfill of {table.name} sets no column")
        values = {
            name: _of_row(closed(table.name, text)) for name, text in self.set.items()
        }
        if self.where is None:
            differ = [f"this.{quoted(n)} is distinct from {v}" for n, v in values.items()]
            text = " or ".join(differ)
        else:
            text = _of_row(closed(table.name, expression(self.where)))
        fits = f"select from {table.rows} this where (\n{text}\n)"
        change = RowChange("update", table.step_name, text, values, batched=True)
        return [
            Step(
                f"set {', '.join(values)} of {table.name}",
                lock="row exclusive",
                tables=(table.step_name,),
                outside_transaction=True,
                scans=(table.step_name,),
                done=f"select not exists ({fits})",
                sql=(change,),
            )
        ]

    def reverse(self) -> Online:
        """ValueError: the journal has what the rows were."""
        raise ValueError(
            f"what the rows of {self.table_name} were is in the journal alone: sexton undo"
        )


def _of_row(text: str) -> str:
    """An expression over a row's columns, wherever others of their names are in scope."""
    return f"(select (\n{text}\n) from (select this.*) sexton_row)"  # noqa: S608
