"""What an online operation is: its arguments, its steps, its reverse.

The fields of an operation's class are the arguments of `op.<name>`, and its docstring is
that of the function: `class CreateIndexOnline(Online, name="create_index_online")`.
"""

import dataclasses
import inspect
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, dataclass_transform

from alembic.autogenerate import renderers
from alembic.operations import MigrateOperation, Operations

from sexton.ddl.session import Driver, own_session
from sexton.ddl.steps import Step
from sexton.online.python import call
from sexton.online.run_steps import stepping

# Metadata of a field that a revision says also if it is the default.
SAID: Mapping[str, bool] = {"said": True}


@dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))
class Online(MigrateOperation):
    """An operation that is steps, called `op.<name>` with its fields."""

    name: ClassVar[str]

    def __init_subclass__(cls, name: str = "") -> None:
        """Make it a dataclass, and register it if it has a name."""
        dataclasses.dataclass(eq=False)(cls)
        if name:
            cls.name = name
            _register(cls, name)

    @abstractmethod
    def build(self, driver: Driver | None) -> list[Step]:
        """The steps; offline without a connection."""

    @property
    def given(self) -> dict[str, Any]:
        """All arguments by name."""
        return {one.name: getattr(self, one.name) for one in _fields(self)}

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments that have no default, by place."""
        required = [one for one in _fields(self) if one.default is dataclasses.MISSING]
        return tuple(getattr(self, one.name) for one in required)

    @property
    def options(self) -> dict[str, Any]:
        """The other arguments; None and False are the same as left out."""
        found = {}
        for one in _fields(self):
            value = getattr(self, one.name)
            usual = isinstance(value, str) and value == one.default
            if one.default is not dataclasses.MISSING and (one.metadata or not usual):
                found[one.name] = value
        return found

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """What `alembic check` says of it."""
        return (self.name, *self.arguments)


def _fields(operation: Any) -> tuple["dataclasses.Field[Any]", ...]:
    return dataclasses.fields(operation)


def _register(kind: Any, name: str) -> None:
    """Let `op.<name>` make an operation of its arguments, and run it."""

    def function(cls: Any, operations: Any, *arguments: Any, **options: Any) -> None:
        operations.invoke(cls(*arguments, **options))

    made: Any = function
    made.__name__, made.__doc__ = name, kind.__doc__
    setattr(kind, name, classmethod(made))
    Operations.register_operation(name)(kind)
    own = inspect.signature(kind).parameters.values()
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    getattr(Operations, name).__signature__ = inspect.Signature([this, *own])


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
