"""What an online operation is: steps, its reverse, and how a revision writes it."""

from abc import abstractmethod
from typing import Any

from alembic.autogenerate import renderers
from alembic.operations import MigrateOperation, Operations

from sexton.ddl.session import Driver, own_session
from sexton.ddl.steps import Step
from sexton.online.python import call
from sexton.online.run_steps import stepping


class Online(MigrateOperation):
    """An operation that is steps, called `op.<name>` with `arguments` and `options`."""

    name: str

    @abstractmethod
    def build(self, driver: Driver | None) -> list[Step]:
        """The steps; offline without a connection."""

    @property
    @abstractmethod
    def arguments(self) -> tuple[Any, ...]:
        """What it is called with, by place."""

    @property
    def options(self) -> dict[str, Any]:
        """What it is called with, by name; None and False are the same as left out."""
        return {}

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """What `alembic check` says of it."""
        return (self.name, *self.arguments)


@Operations.implementation_for(Online)
def _run(operations: Any, operation: Online) -> None:
    if operations.migration_context.as_sql:
        operations.run_steps(operation.build(None))
        return
    with stepping(operations) as driver, own_session(driver):
        operations.run_steps(operation.build(driver))


@renderers.dispatch_for(Online)
def _render(context: Any, operation: Online) -> str:
    return call(context, operation.name, *operation.arguments, **operation.options)
