"""What the user of a schema change may choose."""

from collections.abc import Callable
from dataclasses import dataclass

TELL_EVERY = 5.0  # seconds between two words about what is waited for


def _quiet(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Options:
    """How patient a step is, and what it may do. Times are in seconds.

    `max_stall`: how long others may wait because of one try. `deadline`: how long a step
    may take to get its lock, or to end where it runs beside the others.
    `terminate_idle_older_than`: end a session in the way that has been idle in its
    transaction for so long; None ends nobody. `choices` are the user's answers to what a
    step may not decide, as `tombstones=disable`. `say` gets what is waited for. `kind`
    is what the journal calls a run of rows: `upgrade`, `downgrade`. `makes_journal` says
    that what an interrupted run made is noted even if the schema `sexton` does not exist.
    """

    max_stall: float = 1.0
    deadline: float = 600.0
    terminate_idle_older_than: float | None = None
    show_queries: bool = False
    choices: frozenset[str] = frozenset()
    say: Callable[[str], None] = _quiet
    kind: str = "revision"
    makes_journal: bool = False
