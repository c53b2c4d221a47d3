"""Sending: a step's statements, one by one, and the rows they change into the journal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg.pq import TransactionStatus

from sexton.catalog.relations import Relation
from sexton.ddl.acquiring import NOT_ACQUIRED, set_local
from sexton.ddl.options import Options
from sexton.ddl.row_batches import batches
from sexton.ddl.row_changes import RowChange, StepJournal
from sexton.ddl.session import Driver
from sexton.ddl.steps import Statement, Step
from sexton.ddl.waiting import BACKOFF_FACTOR
from sexton.text.printable import printable


@dataclass
class Sender:
    """Sends a step's statements; `progress` says how many rows are committed of how many.

    In a transaction of the caller's, each is part of it. Outside, rows are changed in
    transactions of their own, each made again where another's row lock outlasts
    `max_stall`: whoever waits for one row holds those before it.
    """

    record: StepJournal
    options: Options
    progress: str = ""

    def __call__(self, driver: Driver, statement: Statement) -> None:
        """Send a statement."""
        if isinstance(statement, str):
            try:
                driver.execute(statement)
            except psycopg.Error as error:
                error.sexton_statement = statement  # type: ignore[attr-defined]
                raise
        elif driver.info.transaction_status != TransactionStatus.IDLE:
            self.record.make(driver, statement)
        elif statement.batched:
            self._in_batches(driver, statement)
        else:
            self._alone(driver, statement, partial(self.record.make, driver, statement))

    def _in_batches(self, driver: Driver, change: RowChange) -> None:
        table = self.record.describe(driver, change.table)
        for batch in batches(driver, table, change):
            self._alone(driver, change, partial(self.record.write, driver, batch.change))
            self.progress = f"{batch.done:,} of {batch.total:,} rows"

    def _alone(self, driver: Driver, change: RowChange, write: Callable[[], None]) -> None:
        """Write in a transaction of its own, as often as it takes."""
        told = False
        while not self._briefly(driver, write):
            if not told:
                table = printable(change.table)
                self.options.say(f"waiting for others who have locked rows of {table}")
            told = True
            for _ in range(BACKOFF_FACTOR):
                # On the server: so the deadline, or Ctrl-C, cancels it.
                driver.execute("select pg_catalog.pg_sleep(%s)", (self.options.max_stall,))

    def _briefly(self, driver: Driver, write: Callable[[], None]) -> bool:
        run = self.record.run
        try:
            with driver.transaction():
                set_local(driver, {"lock_timeout": self.options.max_stall})
                write()
        except NOT_ACQUIRED:
            self.record.run = run
            return False
        return True


def sender(
    step: Step, relations: Mapping[str, Relation], options: Options, start: tuple[str, ...]
) -> Sender:
    """The sender of a step, on its tables, of a database at `start`."""
    undo = step.irreversible is not None
    known = dict(relations)
    record = StepJournal(step.title, options.kind, start, known, options.say, undo)
    return Sender(record, options)
