"""Two connections whose statements are let through one at a time."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row

from sexton.database import Connection
from sexton.errors import SextonError
from tests.support.tools import do

POLL_SECONDS = 0.001
Work = Callable[[Connection], Any]


class GatedCursor(psycopg.Cursor[Any]):
    """A cursor that stops at its connection's `gate` before each statement."""

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for the turn, then execute."""
        cast(Gated, self.connection).gate()
        return super().execute(*args, **kwargs)


class Gated(psycopg.Connection[Any]):
    """A connection that stops at `gate` before each statement, COMMIT included."""

    gate: Callable[[], None] = staticmethod(lambda: None)

    @contextlib.contextmanager
    def transaction(self, *args: Any, **kwargs: Any) -> Iterator[psycopg.Transaction]:
        """A transaction that waits for its turn to commit."""
        with super().transaction(*args, **kwargs) as transaction:
            yield transaction
            self.gate()


def gated(url: str) -> Gated:
    """Open such a connection; a deadlock is found after 20 ms."""
    return Gated.connect(
        url,
        row_factory=dict_row,
        cursor_factory=GatedCursor,
        autocommit=True,
        options="-c deadlock_timeout=20ms",
    )


class Actor:
    """One piece of work on one connection, in a thread of its own."""

    def __init__(self, connection: Gated, work: Work, observer: Connection) -> None:
        self.connection = connection
        self.observer = observer
        self.result: Any = None
        self.statements = 0
        self._work = work
        self._turn = threading.Semaphore(0)
        self._arrived = threading.Event()
        self._done = False
        connection.gate = self._wait
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._arrived.wait()

    @property
    def done(self) -> bool:
        """Whether the work has ended."""
        return self._done and self._arrived.is_set()

    @property
    def waiting(self) -> bool:
        """Whether the work waits for its turn, and for nobody's lock."""
        return self._arrived.is_set() and not self._done

    def _run(self) -> None:
        self.result = outcome(self.connection, self._work)
        self._done = True
        self._arrived.set()

    def _wait(self) -> None:
        self._arrived.set()
        self._turn.acquire()

    def step(self) -> None:
        """Let one statement through: to its end, or until it waits for a lock."""
        if self._arrived.is_set():
            self._arrived.clear()
            self.statements += 1
            self._turn.release()
        while not self._arrived.wait(POLL_SECONDS):
            if self._blocked():
                return

    def _blocked(self) -> bool:
        pid = self.connection.info.backend_pid
        query = "select cardinality(pg_blocking_pids(%s)) > 0 as blocked"
        row = self.observer.execute(query, (pid,)).fetchone()
        return bool(row and row["blocked"])


def outcome(connection: Connection, work: Work) -> Any:
    """What the work ends in: `done`, or the error's kind and message."""
    try:
        work(connection)
    except SextonError as error:
        return type(error).__name__, error.upstream or error.message
    except psycopg.Error as error:
        return type(error).__name__, ""
    return "done"


def lockstep(actors: Sequence[Actor]) -> None:
    """Let the actors' statements through in turn until all have ended."""
    while not all(actor.done for actor in actors):
        for actor in actors:
            if not actor.done:
                actor.step()


def preempt(first: Actor, second: Actor, after: int) -> None:
    """Let `first` make some statements, then `second` all it can, then the rest."""
    for _ in range(after):
        if not first.done:
            first.step()
    second.step()
    while second.waiting:
        second.step()
    lockstep([first, second])


def ours(what: Any, *args: Any, **kwargs: Any) -> Work:
    """An operation, or a function, of Sexton's life cycle, in its transaction."""
    return lambda connection: do(connection, what, *args, **kwargs)
