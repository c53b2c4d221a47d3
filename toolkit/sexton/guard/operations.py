"""`op.add_guard` and `op.drop_guard`, for anybody's revisions.

`import sexton.alembic` registers them. Each does nothing where its result is there.
"""

from typing import Any

from alembic.operations import MigrateOperation, Operations

from sexton.ddl.session import own_session
from sexton.guard.change import planned
from sexton.guard.spec import GuardSpec, table_and_columns


@Operations.register_operation("add_guard")
class AddGuard(MigrateOperation):
    """The operation behind `op.add_guard`."""

    verb = "add"

    def __init__(self, spec: GuardSpec) -> None:
        self.spec = spec

    @classmethod
    def add_guard(
        cls,
        operations: Operations,
        child: str,
        parent: str,
        *,
        live: str = "not deleted",
        parent_live: str = "",
    ) -> None:
        """Set a guard: `op.add_guard("invoices.customer_id", "customers.id")`.

        `live` and `parent_live` say which rows count, over the tables' own columns.
        Raises UsageError, WrongSchema, Refused, Busy.
        """
        operations.invoke(cls(_spec(child, parent, live, parent_live)))

    def reverse(self) -> MigrateOperation:
        """The operation that takes it away."""
        return DropGuard(self.spec)


@Operations.register_operation("drop_guard")
class DropGuard(MigrateOperation):
    """The operation behind `op.drop_guard`."""

    verb = "remove"

    def __init__(self, spec: GuardSpec) -> None:
        self.spec = spec

    @classmethod
    def drop_guard(
        cls,
        operations: Operations,
        child: str,
        parent: str,
        *,
        live: str = "not deleted",
        parent_live: str = "",
    ) -> None:
        """Take a guard away; the conditions are for its reverse alone."""
        operations.invoke(cls(_spec(child, parent, live, parent_live)))

    def reverse(self) -> MigrateOperation:
        """The operation that sets it again."""
        return AddGuard(self.spec)


def _spec(child: str, parent: str, live: str, parent_live: str) -> GuardSpec:
    return GuardSpec(
        *table_and_columns(child),
        *table_and_columns(parent),
        live=live,
        parent_live=parent_live,
    )


@Operations.implementation_for(AddGuard)
@Operations.implementation_for(DropGuard)
def _change(operations: Any, operation: AddGuard | DropGuard) -> None:
    if operations.migration_context.as_sql:
        operations.run_steps(planned(None, operation.verb, operation.spec))
        return
    driver = operations.get_bind().connection.driver_connection
    with own_session(driver):
        operations.run_steps(planned(driver, operation.verb, operation.spec))
