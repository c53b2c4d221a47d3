"""`op.add_guard` and `op.drop_guard`, for anybody's revisions.

`import sexton.alembic` registers them. Each does nothing where its result is there.
"""

from typing import Any

from alembic.operations import Operations

from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.errors import UsageError
from sexton.guard.change import planned
from sexton.guard.spec import (
    GuardSpec,
    columns_of,
    deferrability,
    table_and_columns,
)
from sexton.online.operation import Online


class OfGuard(Online):
    """An operation of one guard."""

    verb: str

    def __init__(self, spec: GuardSpec) -> None:
        self.spec = spec

    def build(self, driver: Driver | None) -> list[Step]:
        """As far as they can be known now."""
        return planned(driver, self.verb, self.spec)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The two places."""
        spec = self.spec
        return (
            columns_of(spec.child, spec.columns),
            columns_of(spec.parent, spec.parent_columns),
        )

    @property
    def options(self) -> dict[str, Any]:
        """Which rows count, and when the key is checked."""
        said = self.spec.deferrable
        return {
            "live": self.spec.live,
            "parent_live": self.spec.parent_live or None,
            "deferrable": True if said == "deferred" else said,
        }


@Operations.register_operation("add_guard")
class AddGuard(OfGuard):
    """The operation behind `op.add_guard`."""

    name, verb = "add_guard", "add"

    @classmethod
    def add_guard(
        cls,
        operations: Operations,
        child: str,
        parent: str,
        *,
        live: str = "not deleted",
        parent_live: str = "",
        deferrable: bool | str | None = None,
    ) -> None:
        """Set a guard: `op.add_guard("invoices.customer_id", "customers.id")`.

        `live` and `parent_live` say which rows count, over the tables' own columns.
        `deferrable` says when the key is checked: True or "deferred" at commit,
        "immediate" until SET CONSTRAINTS says otherwise, False at each statement; None as
        the plain key over the same columns. Raises UsageError, WrongSchema, Refused, Busy.
        """
        operations.invoke(cls(_spec(child, parent, live, parent_live, deferrable)))

    def reverse(self) -> "DropGuard":
        """The operation that takes it away."""
        return DropGuard(self.spec)


@Operations.register_operation("drop_guard")
class DropGuard(OfGuard):
    """The operation behind `op.drop_guard`."""

    name, verb = "drop_guard", "remove"

    @classmethod
    def drop_guard(
        cls,
        operations: Operations,
        child: str,
        parent: str,
        *,
        live: str = "not deleted",
        parent_live: str = "",
        deferrable: bool | str | None = None,
    ) -> None:
        """Take a guard away; the conditions are for its reverse alone."""
        operations.invoke(cls(_spec(child, parent, live, parent_live, deferrable)))

    def reverse(self) -> AddGuard:
        """The operation that sets it again."""
        return AddGuard(self.spec)


def _spec(
    child: str, parent: str, live: str, parent_live: str, deferrable: object
) -> GuardSpec:
    try:
        said = deferrability(deferrable)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return GuardSpec(
        *table_and_columns(child),
        *table_and_columns(parent),
        live=live,
        parent_live=parent_live,
        deferrable=said,
    )
