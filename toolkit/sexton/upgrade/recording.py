"""Recording: what a revision's functions would do, noted instead of done.

The functions are called as Alembic calls them, on a read-only connection, with an `op`
that notes each operation as steps. What reads the database is answered; what writes by
the connection itself, or fails, is said to be what cannot be looked into.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, cast

import psycopg
from alembic.operations import MigrateOperation, Operations, ops
from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy.exc import DBAPIError

from sexton.ddl.session import own_session
from sexton.ddl.steps import Step
from sexton.errors import SextonError, WrongSchema
from sexton.guard.binding import bind
from sexton.guard.operations import AddGuard, DropGuard
from sexton.online.operation import Online
from sexton.online.run_steps import RunSteps
from sexton.upgrade.plain import Plain, describe, refused, unknown

ALONE = (
    "the steps after it commit it: interrupted between, this revision cannot be run again; "
    "give it a revision of its own"
)
LATER = "it cannot be asked yet: it is about what an earlier operation makes"
WRITES = "it writes by the connection itself, and so cannot be looked into"


class Recorder:
    """Notes what revisions do, one after the other, on one read-only connection."""

    def __init__(
        self, context: MigrationContext, names: Mapping[str, Any] | None = None
    ) -> None:
        self._context = cast("Any", context)
        self._names = names or {}
        self._driver = self._context.connection.connection.driver_connection
        self._steps: list[Step] = []
        self._before = False  # there is a revision before this one
        self._made = False  # an operation so far may have made a table
        op: Any = Operations(context)
        op.invoke = self._invoke
        op.batch_alter_table = self._batch
        self._op = op
        self._context.autocommit_block = contextlib.nullcontext

    def record(self, revision: RevisionStep) -> tuple[Step, ...]:
        """The steps of one revision, in one direction."""
        self._steps = []
        rest = "what the revision does from here on"
        self._op._install_proxy()
        try:
            revision.migration_fn(**self._names)
        except SextonError as error:
            self._steps.append(refused(rest, error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too is only the revision's word
            self._steps.append(unknown(rest, _why(error)))
            self._made = True
        finally:
            self._op._remove_proxy()
            self._context.connection.rollback()
        self._before = True
        return tuple(self._noted())

    def _noted(self) -> Iterator[Step]:
        followed = [n for n, step in enumerate(self._steps) if not isinstance(step, Plain)]
        for n, step in enumerate(self._steps):
            mixed = isinstance(step, Plain) and followed and n < followed[-1]
            yield step.noted(ALONE) if isinstance(step, Plain) and mixed else step

    def _invoke(self, operation: MigrateOperation) -> Any:
        if isinstance(operation, RunSteps):
            self._steps += operation.steps
            self._made = True
        elif isinstance(operation, Online):
            self._expand(operation)
        else:
            self._steps.append(describe(operation, self._driver))
            self._made |= not isinstance(operation, ops.AddConstraintOp)
        if isinstance(operation, ops.CreateTableOp):
            return operation.to_table(self._context)
        return None

    def _expand(self, operation: MigrateOperation) -> None:
        made, first = self._made, not (self._steps or self._before)
        try:
            if first and isinstance(operation, AddGuard):
                with own_session(self._driver):  # nothing can bring what is not there
                    bind(self._driver, operation.spec)
            Operations.invoke(self._op, operation)
        except WrongSchema as error:
            # What a guard is about may be a column, which ours make too.
            guard = isinstance(operation, AddGuard | DropGuard)
            if made or (guard and not first):
                self._expand_unseen(operation)
            else:
                self._steps.append(refused("an operation that cannot be made", error))
        except SextonError as error:
            self._steps.append(refused("an operation that cannot be made", error))
        finally:
            self._made = made  # of the operations that are ours, none makes a table

    def _expand_unseen(self, operation: MigrateOperation) -> None:
        """Its steps as they are printed offline, which takes no table to be there."""
        self._context.as_sql = True
        try:
            Operations.invoke(self._op, operation)
        except SextonError:
            self._steps.append(unknown("an operation on what is to be made", LATER))
        finally:
            self._context.as_sql = False

    @contextlib.contextmanager
    def _batch(
        self, name: str, schema: str | None = None, recreate: str = "auto", **options: Any
    ) -> Iterator[Any]:
        if recreate == "always":
            why = "it makes the table anew, with its rows: ACCESS EXCLUSIVE, and a rewrite"
            self._steps.append(unknown(f"alter the table {name}", why))
        batch: Any
        with Operations.batch_alter_table(
            self._op, name, schema, "never", **options
        ) as batch:
            batch.invoke = self._invoke
            yield batch


def _why(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
        return WRITES
    said = str(cause).partition("\n")[0]
    return f"it cannot be looked into: {type(cause).__name__}: {said}"
