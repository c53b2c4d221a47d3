"""Batches: one runner for whatever changes rows, be it a plan or an undo.

A job of up to SMALL rows is one transaction. A larger one is made in batches that take
about BATCH_SECONDS each: all or nothing each, one after the other, and counted in the
journal, so that a run that was killed goes on where it stopped.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from sexton import journal
from sexton.catalog.triggers import firing
from sexton.database import REPAIR, Connection, scalar, settings, transact
from sexton.errors import Busy, Refused, SextonError
from sexton.postgres.blockers import holding, in_words
from sexton.postgres.session import ROWS
from sexton.project import current
from sexton.repair.aftermath import Aftermath, Difference
from sexton.repair.changes import Block, Writer
from sexton.server_errors import BUSY_STATES, to_sexton_error
from sexton.text.printable import printable

SMALL = 2_000  # rows that one transaction may hold locked
BATCH_SECONDS = 0.2  # how long others may have to wait for a row
FIRST_BATCH, SMALLEST_BATCH, LARGEST_BATCH = 1_000, 100, 10_000

# What the server refuses, in our words, and what to do.
REFUSALS: dict[type[psycopg.Error], tuple[str, str | None]] = {
    psycopg.DataError: ("a value does not fit its column", None),
    psycopg.errors.UniqueViolation: (
        "another row has taken what the plan gives to this one",
        "make a new plan and look at it again: sexton repair",
    ),
    psycopg.errors.ForeignKeyViolation: (
        "a foreign key forbids it",
        "see to the rows that it names, or make a new plan: sexton repair",
    ),
    psycopg.NotSupportedError: (
        "a rule or a view stands where a table was meant",
        "no option lifts this: a repair changes rows as they are stored",
    ),
}

Progress = Callable[[int, int], None]
Size = Callable[[], int]
Result = TypeVar("Result", covariant=True)
Returned = TypeVar("Returned")


class Job(Protocol[Result]):
    """Changes of rows that are to be made."""

    @property
    def total(self) -> int:
        """The number of rows."""

    @property
    def writes(self) -> Mapping[int, int]:
        """The oids of the tables that are changed, with the bits of `EVENTS`."""

    @property
    def again(self) -> str:
        """What to type where the job was interrupted."""

    def lock(self, batch: list[Block] | None) -> None:
        """Take the locks of tables that a batch needs, or all of the job without one."""

    def begin(self, *, finished: bool) -> int:
        """Open the run in the journal."""

    def batches(self, size: Size, after: int) -> Iterator[list[Block]]:
        """The rows from step `after + 1` on, in batches of about `size()` rows."""

    def make(self, writer: Writer, batch: list[Block], done: int) -> None:
        """Make a batch; `done` rows were committed before it."""

    def judge(self, found: list[Difference], run: int, done: int) -> None:
        """Take note of rows that triggers have changed again, or raise Refused.

        It is asked once, at the end of a transaction; `done` as in `make`.
        """

    def close(self, run: int) -> Result:
        """What follows the last row, in its transaction or one of its own."""


def run_job(
    connection: Connection, job: Job[Result], run: int | None, progress: Progress | None
) -> Result:
    """Make a job, or the rest of `run`, which was interrupted.

    Raises Busy where a row stays locked, and whatever the job raises; where batches were
    committed before, the message says so.
    """
    if run is None and (job.total <= SMALL or _inside(connection)):
        return _transact(connection, job, partial(_whole, connection, job), None, 0, None)
    done = journal.last_step(connection, run) if run else 0
    pace = Pace()
    for batch in job.batches(pace.size, done):
        with pace.of(sum(block.count for block in batch)):
            one = partial(_batch, connection, job, batch, run, done)
            run = _transact(connection, job, one, run, done, batch)
        done += sum(block.count for block in batch)
        if progress:
            progress(done, job.total)
    if run is None:
        raise Refused("there is nothing to change")
    end = partial(_end, connection, job, run)
    return _transact(connection, job, end, run, done, [])


def _whole(connection: Connection, job: Job[Result], after: Aftermath | None) -> Result:
    run = job.begin(finished=True)
    _make(connection, job, job.batches(lambda: LARGEST_BATCH, 0), run, 0, after)
    return job.close(run)


def _batch(
    connection: Connection,
    job: Job[Result],
    batch: list[Block],
    run: int | None,
    done: int,
    after: Aftermath | None,
) -> int:
    run = run or job.begin(finished=False)
    _make(connection, job, [batch], run, done, after)
    return run


def _make(
    connection: Connection,
    job: Job[Any],
    batches: Iterable[list[Block]],
    run: int,
    done: int,
    after: Aftermath | None,
) -> None:
    """Make a transaction's batches, and look what triggers have made of them."""
    writer = Writer(connection, run, after)
    for batch in batches:
        job.make(writer, batch, done)
    if after:
        job.judge(after.settle(run), run, done)


def _end(
    connection: Connection, job: Job[Result], run: int, after: Aftermath | None
) -> Result:
    del after  # no row is written
    result = job.close(run)
    journal.finish_run(connection, run)
    return result


def _transact(
    connection: Connection,
    job: Job[Any],
    work: Callable[[Aftermath | None], Returned],
    run: int | None,
    done: int,
    batch: list[Block] | None,
) -> Returned:
    """One transaction of a job, for a batch or for all of it without one.

    An error says what was committed before it.
    """

    def prepared() -> Returned:
        current().before_write(connection)
        with settings(connection, ROWS):
            _require_ordinary(connection)
            job.lock(batch)
            triggers = firing(connection, job.writes)
            return work(
                Aftermath(connection, triggers, own=not inside) if triggers else None
            )

    inside = _inside(connection)
    try:
        return transact(connection, prepared)
    except psycopg.Error as error:
        if isinstance(error, BUSY_STATES):
            who = "" if inside else in_words(holding(connection, list(job.writes)))
            held = f"; locks on its tables are held by {who}" if who else ""
            found: SextonError = Busy(f"{to_sexton_error(error).message}{held}")
        elif refused := next((k for k in REFUSALS if isinstance(error, k)), None):
            words, hint = REFUSALS[refused]
            found = Refused(
                f"{words}: {printable(str(error.diag.message_primary))}", hint=hint
            )
            if not done:
                found.message += "; nothing was changed"
        else:
            found = to_sexton_error(error)
        if not done:
            if isinstance(found, Busy):
                found.hint = "nothing was changed; run the same command again"
            raise found from None
        found.message += f"; {_kept(job, run, done)}"
        found.hint = job.again
        raise found from None


def _kept(job: Job[Any], run: int | None, done: int) -> str:
    return f"{done:,} of {job.total:,} rows were changed before, in run {run}, and stay"


def _inside(connection: Connection) -> bool:
    return connection.info.transaction_status == TransactionStatus.INTRANS


def _require_ordinary(connection: Connection) -> None:
    role = scalar(
        connection, "select pg_catalog.current_setting('session_replication_role')"
    )
    if role != "origin":
        raise Refused(
            f"session_replication_role is {role}: foreign keys and triggers do nothing, "
            "and changes would not reach what depends on them",
            hint="set it to origin for this role and database",
        )


@contextlib.contextmanager
def repair_lock(connection: Connection) -> Iterator[None]:
    """Hold the lock that one repair, apply or undo has at a time; raises Busy."""
    inside = _inside(connection)
    # Across the transactions of a large plan only the session can hold a lock.
    scope = "_xact" if inside else ""
    taken = f"select pg_catalog.pg_try_advisory{scope}_lock(%s::pg_catalog.int8)"
    if not scalar(connection, taken, REPAIR):
        who = in_words(holding(connection, key=REPAIR, name="the repair lock"))
        raise Busy(
            f"another repair of this database is running{who and f': {who}'}",
            hint="nothing was changed; wait until it ends: sexton history",
        )
    try:
        yield
    finally:
        if not inside and not connection.closed and not connection.broken:
            unlock = "select pg_catalog.pg_advisory_unlock(%s::pg_catalog.int8)"
            scalar(connection, unlock, REPAIR)


class Pace:
    """How many rows a transaction takes, by how long the last one took."""

    def __init__(self) -> None:
        self._rows = FIRST_BATCH

    def size(self) -> int:
        """The number of rows to take next."""
        return self._rows

    @contextlib.contextmanager
    def of(self, rows: int) -> Iterator[None]:
        """Time a transaction of so many rows."""
        started = time.perf_counter()
        yield
        taken = max(time.perf_counter() - started, 0.001)
        wanted = int(rows * min(BATCH_SECONDS / taken, 2))
        self._rows = max(SMALLEST_BATCH, min(wanted, LARGEST_BATCH))
