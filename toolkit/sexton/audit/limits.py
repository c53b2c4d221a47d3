"""Limits: what bounds an audit's transactions, its statements and the whole of it."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg
from psycopg import errors

from sexton.audit.outcome import STATEMENT_TIMEOUT, Options
from sexton.catalog.relations import SAFE_PATH, Relation, restriction
from sexton.database import Connection, set_local
from sexton.errors import Unexpected
from sexton.postgres.session import EXACT, set_parameters
from sexton.server_errors import to_sexton_error

LOCK_TIMEOUT = "1s"  # an audit must not queue behind an incident, either
SHARED_STATEMENT = 5.0  # seconds for the statement that small tables' checks share

INTERRUPTED = "interrupted"
LOST = "the connection was lost"
COLLISION = (
    "the standby had to remove rows that this snapshot sees; a longer "
    "max_standby_streaming_delay or hot_standby_feedback lets it keep them"
)

SETTINGS = {
    **EXACT,  # what is read must be found again
    "statement_timeout": f"{STATEMENT_TIMEOUT:.0f}s",
    "lock_timeout": LOCK_TIMEOUT,
    # While other connections work on its snapshot, this one may wait.
    "idle_in_transaction_session_timeout": "0",
    # A policy would hide rows, and missing parents make orphans of their children.
    "row_security": "off",
    # Compiling costs more than all the probing.
    "jit": "off",
}


def set_limits(connection: Connection, **more: str) -> None:
    """Set the limits of a transaction that looks at others' data."""
    set_parameters(connection, SETTINGS | more, local=True)


def hide(connection: Connection, relations: Iterable[Relation]) -> None:
    """From now on, names mean what stands in `pg_catalog`, in this transaction.

    Of views and foreign tables, only those are read that `relations` have.
    """
    set_parameters(
        connection, {"search_path": SAFE_PATH, **restriction(relations)}, local=True
    )


@dataclass
class Limits:
    """The times of one audit, and why it stopped before its end.

    `stopped` is empty while the audit goes on, else the reason why what is left is not
    looked at; the first one counts.
    """

    options: Options
    began: float = field(default_factory=time.monotonic)
    stopped: str = ""

    @property
    def collided(self) -> bool:
        """Whether a standby's replay ended the snapshot."""
        return self.stopped == COLLISION

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        if self.options.deadline is None:
            return math.inf
        return self.options.deadline - (time.monotonic() - self.began)

    @property
    def over(self) -> bool:
        """Whether nothing more is to be asked."""
        return bool(self.stopped) or self.left <= 0

    def stop(self, why: str) -> str:
        """Ask nothing more; return why, or the reason that was there before."""
        self.stopped = self.stopped or why
        return self.stopped

    def grant(self, connection: Connection, at_most: float = math.inf) -> None:
        """Give the next statement its time: its own limit, or what the deadline leaves."""
        seconds = min(self.options.statement_timeout or math.inf, self.left, at_most)
        if seconds <= 0:
            raise errors.QueryCanceled
        milliseconds = 0 if math.isinf(seconds) else math.ceil(seconds * 1000)
        set_local(connection, "statement_timeout", f"{milliseconds}ms")

    def why(self, error: psycopg.Error) -> str:
        """A statement's error in a sentence."""
        if isinstance(error, errors.SerializationFailure):
            # A snapshot that only reads loses to nobody but a standby's replay.
            return self.stop(COLLISION)
        if isinstance(error, errors.QueryCanceled):
            if self.stopped:
                return self.stopped
            if self.left <= 0:
                return f"the deadline of {self.options.deadline:g} s had passed"
            if "statement timeout" in str(error):
                return f"stopped after {self.options.statement_timeout:g} s, its timeout"
        if isinstance(error, errors.UndefinedTable | errors.UndefinedFunction):
            said = error.diag.message_primary
            return f"{said}; say tables in `reads`, and the schema of anything else"
        found = to_sexton_error(error)
        if isinstance(found, Unexpected):
            return f"the server said {error.sqlstate}: {error.diag.message_primary}"
        return found.message
