"""Operations: what is previewed, planned again under the locks, and then done.

An operation has one shape. `plan` reads and says what would be; with a recorder it also
locks. `execute` writes what was planned. The runner does the rest, and returns the effect.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from sexton.chat.locks import holders
from sexton.chat.transaction import Row, Transaction, own, reading, writing
from sexton.database import Connection, transact
from sexton.errors import Busy
from sexton.server_errors import BUSY_STATES


class Effect(Protocol):
    """What an operation does."""

    @property
    def run(self) -> int | None:
        """The journal's number, once it is done."""

    def document(self) -> Row:
        """The document of the command: the same before and after."""

    def counted(self, tx: Transaction, seen: Any) -> Any:
        """The effect with its counts, those of the preview `seen` where they hold."""


E = TypeVar("E", bound=Effect)
Result = TypeVar("Result")


class Operation(Protocol[E]):
    """One change of the life cycle."""

    @property
    def kind(self) -> str:
        """The command, as the journal names the run."""

    def plan(self, tx: Transaction) -> E:
        """What it does as things stand. Reads; locks where `tx` may write."""

    def execute(self, tx: Transaction, effect: E) -> None:
        """Write it."""


def preview(connection: Connection, operation: Operation[E]) -> E:
    """What `run` would do now.

    Reads only, in the caller's transaction or else in a snapshot of its own, and takes no
    row lock. Raises what `run` would raise.
    """
    with reading(connection) as tx:
        effect: E = operation.plan(tx).counted(tx, None)
        return effect


def run(
    connection: Connection,
    operation: Operation[E],
    *,
    seen: E | None = None,
    actor: str | None = None,
    recorded: bool = True,
) -> E:
    """Do it, in the caller's transaction or else in one of its own, which is retried.

    `seen` is a preview made just before: its counts are taken over where it is about the
    same configs, so that nothing is counted under the locks. Raises Busy, saying who is in
    the way, where it was a transaction of its own that found no way.
    """
    if not own(connection):
        return _run(connection, operation, seen, actor, recorded, True)
    work = functools.partial(_run, connection, operation, seen, actor, recorded, False)
    return retried(connection, work)


def retried(connection: Connection, work: Callable[[], Result]) -> Result:
    """Run `work` in a transaction, again where it loses; Busy says who is in the way."""
    try:
        return transact(connection, work)
    except BUSY_STATES as error:
        names = holders(connection)
        raise Busy(
            f"busy: {str(error.diag.message_primary or error).strip()}"
            + (f"; in the way may be {names}" if names else ""),
            hint="nothing was changed; run the same command again",
        ) from None


def _run(
    connection: Connection,
    operation: Operation[E],
    seen: E | None,
    actor: str | None,
    recorded: bool,
    restoring: bool,
) -> E:
    kind = operation.kind
    who: dict[str, Any] = {"actor": actor, "recorded": recorded}
    with writing(connection, kind, **who, restoring=restoring) as tx:
        effect: E = operation.plan(tx).counted(tx, seen)
        operation.execute(tx, effect)
        done: Any = effect
        return replace(done, run=tx.run)  # type: ignore[no-any-return]
