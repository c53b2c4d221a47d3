"""Running a fleet: waves one after the other, never too many on one server at once.

Every target ends in exactly one record, whatever happens to workers and databases on the
way. What was not reached says so: it is incomplete, never clean.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any

from sexton.fleet.addresses import server
from sexton.fleet.inventory import Target, Wave
from sexton.fleet.state import Record
from sexton.text import durations

GRACE = 15.0  # seconds beyond its deadline that a target may take to say so itself
GOOD = ("clean", "applied", "findings")  # what does not count against a wave
Work = Callable[[Target], Record]


class Queue:
    """Targets that wait, by their server; each server has so many slots."""

    def __init__(self, targets: Sequence[Target], per_server: int) -> None:
        self._waiting: dict[str, deque[Target]] = {}
        for target in targets:
            self._waiting.setdefault(server(target), deque()).append(target)
        self._free = dict.fromkeys(self._waiting, per_server)
        self._ready = deque(self._waiting)  # with a free slot and a target, once each

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[Target]:
        """Those that wait."""
        return (target for waiting in self._waiting.values() for target in waiting)

    def take(self) -> tuple[Target, str] | None:
        """The next target whose server has a free slot, and the server; or None."""
        if not self._ready:
            return None
        host = self._ready.popleft()
        target = self._waiting[host].popleft()
        self._free[host] -= 1
        if self._free[host] and self._waiting[host]:
            self._ready.append(host)
        return target, host

    def leave(self, host: str) -> None:
        """Give a slot on a server back."""
        self._free[host] += 1
        if self._free[host] == 1 and self._waiting[host]:
            self._ready.append(host)


@dataclass
class Flight:
    """The targets of a wave: those that wait, and those under way."""

    executor: Executor
    work: Work
    limit: float
    queue: Queue
    started: dict[Future[Record], tuple[Target, str, float]] = field(default_factory=dict)

    def take(self, parallel: int) -> None:
        """Start targets up to `parallel` overall, and what is allowed on their server."""
        while len(self.started) < parallel and (taken := self.queue.take()):
            future = self.executor.submit(self.work, taken[0])
            self.started[future] = (*taken, time.monotonic())

    def landed(self) -> Iterator[Record]:
        """The records of those that have ended, or are too late to be waited for."""
        ended, _ = wait(self.started, timeout=0.5, return_when=FIRST_COMPLETED)
        late = time.monotonic() - self.limit - GRACE
        for future in [f for f, (*_, begun) in self.started.items() if begun < late]:
            future.cancel()
            ended.add(future)
        for future in ended:
            target, host, begun = self.started.pop(future)
            self.queue.leave(host)
            yield _record(target, host, begun, future)


def _record(target: Target, host: str, begun: float, future: Future[Record]) -> Record:
    base = {"target": target.name, "labels": target.labels, "server": host}
    if not future.done() or future.cancelled():
        took = durations.duration(time.monotonic() - begun)
        return incomplete(base, f"no answer after {took}; it may be at work still")
    if error := future.exception():
        return incomplete(base, f"{type(error).__name__}: {error}")
    return {**base, **future.result()}


def incomplete(base: Mapping[str, Any], reason: str) -> Record:
    """The record of a target that was not looked at, or not to its end."""
    from sexton.errors import INCOMPLETE
    from sexton.text.redaction import redact

    return {
        **base,
        "status": "incomplete",
        "code": INCOMPLETE,
        "reason": redact(reason),
    }


def run_fleet(
    waves: Sequence[tuple[Wave, Sequence[Target]]],
    work: Work,
    executor: Executor,
    *,
    per_server: int = 4,
    parallel: int | None = None,
    limit: float = 600.0,
    finished: Mapping[str, Record] | None = None,
    soaked: Work | None = None,
    watch: Callable[[str], None] = lambda _: None,
) -> Iterator[Record]:
    """Do the work on every target, and yield each one's record as it comes.

    `work` takes a target and returns its record without names; it must be picklable where
    the executor needs that. `parallel` bounds the waves' own numbers, `limit` is the
    seconds for each target. `finished` are records of an earlier run: they are yielded
    as they are. After a wave's soak, `soaked` looks at its targets again.
    """
    stopped = ""
    for number, (wave, targets) in enumerate(waves):
        again = [t for t in targets if t.name not in (finished or {})]
        yield from (finished[t.name] for t in targets if finished and t.name in finished)
        if stopped:
            yield from (_not_begun(target, stopped) for target in again)
            continue
        watch(f"wave {wave.name}: {len(again):,} targets")
        flight = Flight(executor, work, limit, Queue(again, per_server))
        failures = 0
        at_once = min(wave.parallel, parallel or wave.parallel)
        while True:
            if failures <= wave.max_failures:
                flight.take(at_once)
            if not flight.started:
                break
            for record in flight.landed():
                failures += record["status"] not in GOOD
                yield record
        last = number == len(waves) - 1
        if failures <= wave.max_failures and not last and durations.parse(wave.soak):
            second = Flight(executor, soaked or work, limit, Queue(targets, per_server))
            failures += _soak(wave, second, watch)
        if failures > wave.max_failures:
            stopped = (
                f"the wave {wave.name} had {failures:,} failures, and "
                f"{wave.max_failures:,} are allowed"
            )
            yield from (_not_begun(target, stopped) for target in flight.queue)


def _not_begun(target: Target, why: str) -> Record:
    base = {"target": target.name, "labels": target.labels, "server": server(target)}
    return incomplete(base, f"not begun: {why}")


def _soak(wave: Wave, second: Flight, watch: Callable[[str], None]) -> int:
    """Wait, look at the wave's targets once more, and count those that fail now."""
    watch(f"wave {wave.name}: soaking for {wave.soak}")
    time.sleep(durations.parse(wave.soak))
    failures = 0
    while True:
        second.take(wave.parallel)
        if not second.started:
            return failures
        for record in second.landed():
            if record["status"] != "clean":
                failures += 1
                watch(f"{record['target']} after the soak: {record.get('reason')}")
