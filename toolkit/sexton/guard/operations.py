"""`op.add_guard` and `op.drop_guard`, for anybody's revisions.

`import sexton.alembic` registers them. Each does nothing where its result is there.
"""

from dataclasses import KW_ONLY, field
from typing import ClassVar

from sexton.ddl.session import Driver
from sexton.ddl.steps import Step
from sexton.errors import UsageError
from sexton.guard.change import planned
from sexton.guard.spec import (
    GuardSpec,
    deferrability,
    table_and_columns,
)
from sexton.online.operation import SAID, Online


class OfGuard(Online):
    """An operation of one guard."""

    verb: ClassVar[str]

    child: str
    parent: str
    _: KW_ONLY
    live: str = field(default="not deleted", metadata=SAID)
    parent_live: str = ""
    deferrable: bool | str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError if the arguments are no guard."""
        try:
            said = deferrability(self.deferrable)
        except ValueError as error:
            raise UsageError(str(error)) from None
        self.deferrable = True if said == "deferred" else said
        self.spec = GuardSpec(
            *table_and_columns(self.child),
            *table_and_columns(self.parent),
            live=self.live,
            parent_live=self.parent_live,
            deferrable=said,
        )

    def build(self, driver: Driver | None) -> list[Step]:
        """As far as they can be known now."""
        return planned(driver, self.verb, self.spec)


class AddGuard(OfGuard, name="add_guard"):
    """Set a guard: `op.add_guard("invoices.customer_id", "customers.id")`.

    `live` and `parent_live` say which rows count, over the tables' own columns.
    `deferrable` says when the key is checked: True or "deferred" at commit,
    "immediate" until SET CONSTRAINTS says otherwise, False at each statement; None as
    the plain key over the same columns. Raises UsageError, WrongSchema, Refused, Busy.
    """

    verb = "add"

    def reverse(self) -> "DropGuard":
        """The operation that takes it away."""
        return DropGuard(**self.given)


class DropGuard(OfGuard, name="drop_guard"):
    """Take a guard away; the conditions are for its reverse alone."""

    verb = "remove"

    def reverse(self) -> AddGuard:
        """The operation that sets it again."""
        return AddGuard(**self.given)
