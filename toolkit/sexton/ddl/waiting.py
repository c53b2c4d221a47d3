"""Locks without a queue: sample first, wait outside, then ask briefly and all at once.

Whoever waits for ACCESS EXCLUSIVE makes everybody behind it wait as well. So nothing is
asked for while a holder of the tables is older than the stall budget: it is waited for
outside the queue, and named. Then one statement locks all tables of a step, parent
first, under a timeout made from the holders' sampled ages. A SHARE UPDATE EXCLUSIVE lock
comes before it: that one sends autovacuum away (after `deadlock_timeout`) without
holding up anybody.

Times are in seconds.
"""

import random
import time
from dataclasses import dataclass, field

import psycopg

from sexton.ddl.holders import SHORTEST, LockSampler, advice, terminate_idle
from sexton.ddl.options import TELL_EVERY, Options
from sexton.errors import Busy
from sexton.postgres.blockers import BlockingSession
from sexton.text.durations import duration

QUICK_SAMPLES = 3  # that saw nobody are worth one try, which stalls others for SHORTEST
SAMPLE_WINDOW = (0.5, 1.0)  # how long holders are sampled, at least and at most
INTERVAL = 0.02
BACKOFF_FACTOR = 9  # a pause lasts so many times the timeout that has just run out


@dataclass
class LockWait:
    """How the wait for one lock goes: what has been tried, and until when."""

    options: Options
    sampler: LockSampler
    title: str = ""
    started: float = field(default_factory=time.monotonic)
    tries: int = 0
    longest_try: float = 0.0
    timeout: float = 0.0
    last_error: psycopg.Error | None = None
    blockers: list[BlockingSession] = field(default_factory=list)
    _last_said: float = 0.0

    @property
    def left(self) -> float:
        """What is left until the deadline."""
        return self.started + self.options.deadline - time.monotonic()

    def wait(self) -> float:
        """Wait, outside any queue, until a try is promising; return its timeout.

        Must be called outside any transaction. Raises Busy at the deadline.
        """
        if self.tries:
            pause = BACKOFF_FACTOR * self.timeout * random.uniform(1.0, 1.3)
            time.sleep(max(0.0, min(pause, self.left)))
            # A try that failed says that the usual transaction is longer than thought.
            self.sampler.ages.clear()
        elif not any(self._sample() for _ in range(QUICK_SAMPLES)):
            self.timeout = SHORTEST
            return self.timeout
        low, high = SAMPLE_WINDOW
        enough = time.monotonic() + min(high, max(low, self.options.max_stall))
        while True:
            old = self._old(self.sampler.sample())
            if not old and time.monotonic() >= enough:
                break
            if self.left <= 0:
                self.give_up(old or self.blockers)
            if old:
                self._tell(old)
                terminate_idle(self.sampler.driver, old, self.options)
            time.sleep(INTERVAL if not old else INTERVAL * 2)
        if self.left <= 0:
            self.give_up(self.sampler.sample())
        self.timeout = self.sampler.timeout(self.options.max_stall)
        return self.timeout

    def _sample(self) -> list[BlockingSession]:
        if self.sampler.ages:
            time.sleep(INTERVAL / 2)
        return [holder for holder in self.sampler.sample() if not holder.autovacuum]

    def _old(self, holders: list[BlockingSession]) -> list[BlockingSession]:
        return [
            holder
            for holder in holders
            if not holder.autovacuum and holder.age > self.options.max_stall
        ]

    def _tell(self, old: list[BlockingSession]) -> None:
        now = time.monotonic()
        if now - self._last_said < TELL_EVERY:
            return
        self._last_said = now
        self.blockers = old
        say = self.options.say
        left = f"{duration(max(0.0, self.left))} left"
        for holder in old[:3]:
            say(f"waiting for {holder.summary(self.options.show_queries)}")
        if len(old) > 3:
            say(f"and for {len(old) - 3} more")
        helps = ""
        if self.options.terminate_idle_older_than is None:
            if any(holder.idle_in_transaction for holder in old):
                helps = "; --terminate-idle-older-than 5min would end the idle"
        elif any(holder.hidden for holder in old):
            helps = f"; {advice(self.sampler.driver, old)}"
        say(f"  to {self.title or 'go on'}: {left}{helps}")

    def not_acquired(self, error: psycopg.Error, took: float) -> None:
        """Note a try that failed, after `took` seconds in the queue or under the lock."""
        self.tries += 1
        self.longest_try = max(self.longest_try, took)
        self.last_error = error

    def give_up(self, holders: list[BlockingSession]) -> None:
        """Raise Busy, and say who was in the way."""
        show = self.options.show_queries
        tables = ", ".join(self.sampler.tables)
        waited = duration(time.monotonic() - self.started)
        lines = [f"no {self.sampler.mode} lock on {tables} within {waited}"]
        lines += [f"  held by {holder.summary(show)}" for holder in holders]
        if not holders and self.last_error is not None:
            lines.append(f"  the server said: {self.last_error.diag.message_primary}")
        tries = "once" if self.tries == 1 else f"{self.tries} times"
        lines.append(
            f"  asked for {tries}, and made nobody wait"
            if not self.longest_try
            else f"  asked for {tries}, and made others wait "
            f"{duration(self.longest_try)} at most"
        )
        raise Busy("\n".join(lines), hint=self._hint(holders))

    def _hint(self, holders: list[BlockingSession]) -> str:
        if found := advice(self.sampler.driver, holders):
            return found
        budget, usual = self.options.max_stall, self.sampler.median_age
        if budget < usual and not holders:
            return (
                f"transactions here last {duration(usual)}: --max-stall {1.2 * usual:.1f}s"
            )
        if budget < usual:
            return (
                "wait for their end, or let others wait longer: "
                f"--max-stall {1.2 * usual:.1f}s"
            )
        return "run the same command again; or give it longer: --deadline"
