"""Progress on stderr: a bar on a terminal, else a plain line now and then."""

import sys
import threading
import time
from typing import Any

import click

from sexton.audit.outcome import Outcome
from sexton.audit.walk import Covered

PATIENCE = 0.5  # seconds; a quick audit needs no bar, nor the time to import one
EVERY = 30.0  # seconds between plain lines


class Progress:
    """While it is open, it shows how far `total` checks have come; tell it by `watch`."""

    def __init__(self, total: int, *, every: float = EVERY) -> None:
        self.total = total
        self.every = every
        self.began = time.monotonic()
        self.running: dict[str, None] = {}  # a set that keeps its order
        self.done: set[str] = set()
        self.covered: dict[str, str] = {}  # how far a large scan has come, in words
        self.ended = threading.Event()
        terminal = sys.stderr.isatty()
        self.thread = threading.Thread(target=self._bar if terminal else self._lines)

    def __enter__(self) -> "Progress":
        """Begin to show."""
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Clear what is shown."""
        self.ended.set()
        self.thread.join()

    def watch(self, what: str | Outcome | Covered) -> None:
        """Take note of a check that begins, by its name, or ends, by its outcome."""
        if isinstance(what, Outcome):
            self.running.pop(what.check.name, None)
            self.done.add(what.check.name)
        elif isinstance(what, Covered):
            for name in what.checks:
                self.covered[name] = f"{name} {what.part:.0%}"
        else:
            self.running[what] = None

    def _now(self) -> str:
        running = [self.covered.get(name, name) for name in list(self.running)]
        more = ", …" if len(running) > 3 else ""
        return ", ".join(running[:3]) + more or "between two looks"

    def _lines(self) -> None:
        while not self.ended.wait(self.every):
            seconds = time.monotonic() - self.began
            click.echo(
                f"sexton: {len(self.done)} of {self.total} checks done "
                f"after {seconds:.0f} s; now {self._now()}",
                err=True,
            )

    def _bar(self) -> None:
        if self.ended.wait(PATIENCE):
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
            task = bar.add_task("", total=self.total)
            while not self.ended.wait(0.1):
                bar.update(task, completed=len(self.done), description=self._now())
