"""Progress on stderr: a bar on a terminal, else a plain line now and then."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import click

from toolkit.audit import Outcome, Watch

PATIENCE = 0.5  # seconds; a quick audit needs no bar, nor the time to import one
EVERY = 30.0  # seconds between plain lines


@contextlib.contextmanager
def progress(total: int, *, every: float = EVERY) -> Iterator[Watch]:
    """Show how far `total` checks have come; yields what must be told of each."""
    terminal = click.get_text_stream("stderr").isatty()
    state = _State(total)
    ended = threading.Event()
    thread = threading.Thread(
        target=_bar if terminal else _lines,
        args=(state, ended, PATIENCE if terminal else every),
        daemon=True,
    )
    thread.start()
    try:
        yield state.watch
    finally:
        ended.set()
        thread.join()


class _State:
    def __init__(self, total: int) -> None:
        self.total = total
        self.began = time.monotonic()
        self.running: dict[str, float] = {}
        self.done: set[str] = set()

    def watch(self, what: str | Outcome) -> None:
        if isinstance(what, Outcome):
            self.running.pop(what.check.name, None)
            self.done.add(what.check.name)
        else:
            self.running[what] = time.monotonic()

    @property
    def now(self) -> str:
        """The checks that run now, the longest-running one first."""
        running = list(self.running)
        return ", ".join(running[:3]) + (" …" if len(running) > 3 else "")


def _lines(state: _State, ended: threading.Event, every: float) -> None:
    while not ended.wait(every):
        seconds = time.monotonic() - state.began
        click.echo(
            f"sexton: {len(state.done)} of {state.total} checks done "
            f"after {seconds:.0f} s; now {state.now or 'between two looks'}",
            err=True,
        )


def _bar(state: _State, ended: threading.Event, patience: float) -> None:
    if ended.wait(patience):
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns: tuple[Any, ...] = (
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} checks"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=state.total)
        while not ended.wait(0.1):
            now = state.now or "between two looks"
            bar.update(task, completed=len(state.done), description=now)
