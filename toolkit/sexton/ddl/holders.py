"""Who holds the locks that a step needs, sampled, and what to do about it."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import errors

from sexton.catalog.relations import literal, quoted, resolve
from sexton.ddl.options import Options
from sexton.ddl.session import Driver
from sexton.ddl.steps import CONFLICTS
from sexton.postgres.blockers import BlockingSession, holding
from sexton.postgres.session import scalar
from sexton.text.durations import duration

SHORTEST = 0.05  # of a lock's timeout: below it, the planner's own short locks get in


@dataclass
class LockSampler:
    """Who holds a step's tables, sampled again and again.

    A role without pg_read_all_stats does not see when others began; it knows them only
    for as long as it has been sampling.
    """

    driver: Driver
    tables: Sequence[str]
    mode: str
    ages: dict[Any, float] = field(default_factory=dict)
    _seen: dict[Any, float] = field(default_factory=dict)
    oids: list[int] | None = None  # of the tables, once they are looked up

    def sample(self) -> list[BlockingSession]:
        """Who is in the way now, the oldest first."""
        if self.oids is None:
            there = resolve(self.driver, self.tables)
            self.oids = [relation.oid for relation in there.values()]
        found = holding(self.driver, self.oids, CONFLICTS[self.mode])
        now = time.monotonic()
        return sorted((self._aged(one, now) for one in found), key=lambda one: -one.age)

    def _aged(self, found: BlockingSession, now: float) -> BlockingSession:
        key = (found.pid, found.gid, found.transaction)
        known = now - self._seen.setdefault(key, now)
        age = max(known, found.age)
        if not found.autovacuum:
            self.ages[key] = max(age, self.ages.get(key, 0.0))
        return replace(found, age=age)

    def timeout(self, max_stall: float) -> float:
        """How long to ask for the lock: a little longer than the others usually take."""
        usual = [age for age in self.ages.values() if age <= max_stall]
        return min(max_stall, max(SHORTEST, 1.2 * max(usual, default=0.0)))

    @property
    def median_age(self) -> float:
        """The median of the ages that were seen."""
        return statistics.median(self.ages.values()) if self.ages else 0.0


def terminate_idle(
    driver: Driver, holders: Sequence[BlockingSession], options: Options
) -> None:
    """End those that have been idle in a transaction for too long, if that was asked."""
    limit = options.terminate_idle_older_than
    if limit is None:
        return
    for holder in holders:
        old = holder.idle_in_transaction and (holder.idle or 0.0) >= limit
        if holder.pid is None or not old:
            continue
        try:
            # In one statement: it may have woken up since, or be another by now.
            cursor = driver.execute(
                """
                select pg_catalog.pg_terminate_backend(pid)
                from pg_catalog.pg_stat_activity
                where pid = %s and xact_start = %s
                  and state in ('idle in transaction', 'idle in transaction (aborted)')
                  and pg_catalog.date_part(
                      'epoch'::text, pg_catalog.clock_timestamp() - state_change
                  ) >= %s::pg_catalog.float8
                """,
                (holder.pid, holder.since, limit),
            )
        except errors.InsufficientPrivilege:
            continue
        if cursor.fetchone():
            options.say(
                f"ended {holder.summary(options.show_queries)}: idle for longer than "
                f"{duration(limit)}"
            )


def advice(driver: Driver, holders: Sequence[BlockingSession]) -> str | None:
    """What to do about those in the way, as far as it depends on who they are."""
    if prepared := next((h.gid for h in holders if h.gid is not None), None):
        gid = literal(prepared)
        return (
            f"commit prepared {gid} or rollback prepared {gid}, "
            "then run the same command again"
        )
    if any(holder.idle_in_transaction for holder in holders):
        return (
            "end that transaction, or run the same command again with "
            "--terminate-idle-older-than 5min"
        )
    if any(holder.hidden for holder in holders):
        return (
            "wait for their end; to see what they do, and to end those that are idle "
            f"(that takes pg_signal_backend too): {grant_statistics(driver)}"
        )
    return None


def grant_statistics(driver: Driver) -> str:
    """What lets this role see what others do, and end them."""
    role = scalar(driver, "select current_user::pg_catalog.text")
    return f'grant "pg_read_all_stats" to {quoted(role)}'
