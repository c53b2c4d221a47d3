"""Locks without a queue: look first, wait outside, then ask briefly and all at once.

Whoever waits for ACCESS EXCLUSIVE makes everybody behind it wait as well. So nothing is
asked for while a holder of the tables is older than the stall budget: it is waited for
outside the queue, and named. Then one statement locks all tables of a step, parent
first, under a timeout made from the holders' sampled ages. A SHARE UPDATE EXCLUSIVE lock
comes before it: that one sends autovacuum away (after `deadlock_timeout`) without
holding up anybody.

Times are in seconds.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from sexton.durations import duration
from sexton.errors import Busy

Driver = psycopg.Connection[Any]

SHORTEST = 0.05  # of a lock's timeout: below it, the planner's own short locks get in
QUICK_LOOKS = 3  # that saw nobody are worth one try, which stalls others for SHORTEST
SAMPLE_WINDOW = (0.5, 1.0)  # how long holders are sampled, at least and at most
INTERVAL = 0.02
SHIELD_OVER_DEADLOCK_TIMEOUT = 2.0  # autovacuum yields to the deadlock check, no sooner
BACKOFF_FACTOR = 9  # a pause lasts so many times the timeout that has just run out
STATEMENT = 5.0  # for each statement under the lock
TELL_EVERY = 5.0

AUTOVACUUM_LOCK = "share update exclusive"
_STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
CONFLICTS = {
    AUTOVACUUM_LOCK: ("ShareUpdateExclusiveLock", *_STRONG),
    "share row exclusive": ("RowExclusiveLock", "ShareUpdateExclusiveLock", *_STRONG),
    "access exclusive": (
        *("AccessShareLock", "RowShareLock", "RowExclusiveLock"),
        *("ShareUpdateExclusiveLock", *_STRONG),
    ),
}

# The lock was not had, or lost to somebody: rolled back, it may be asked for again.
NOT_ACQUIRED = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)


def _quiet(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Options:
    """How patient a step is, and what it may do.

    `max_stall`: how long others may wait because of one try. `deadline`: how long a step
    may take to get its lock, or to end where it runs beside the others.
    `terminate_idle_older_than`: end a session in the way that has been idle in its
    transaction for so long; None ends nobody. `choices` are the user's answers to what a
    step may not decide, as `tombstones=disable`. `say` is told what is waited for.
    """

    max_stall: float = 1.0
    deadline: float = 600.0
    terminate_idle_older_than: float | None = None
    show_queries: bool = False
    choices: frozenset[str] = frozenset()
    say: Callable[[str], None] = _quiet


@dataclass(frozen=True)
class Holder:
    """A session, or a prepared transaction, that holds locks which are in the way."""

    pid: int | None
    gid: str | None
    user: str | None
    application: str | None
    state: str | None
    backend: str | None
    since: Any
    age: float
    idle: float | None
    modes: tuple[str, ...]
    query: str | None

    @property
    def autovacuum(self) -> bool:
        """Whether it is autovacuum, which yields."""
        return self.backend == "autovacuum worker"

    def document(self, show_queries: bool) -> dict[str, Any]:
        """What to print of it; the query only where asked."""
        shown: dict[str, Any] = {"pid": self.pid, "prepared": self.gid}
        shown |= {"user": self.user, "application": self.application}
        shown |= {"state": self.state, "age_s": round(self.age, 3)}
        shown |= {"modes": list(self.modes)}
        if show_queries:
            shown["query"] = self.query
        return shown

    def told(self, show_queries: bool = False) -> str:
        """One line about it."""
        if self.gid is not None:
            who = f"prepared transaction {self.gid!r} of {self.user}"
        else:
            who = f"pid {self.pid}, {self.user or 'a user we may not see'}"
            who += f" ({self.application})" if self.application else ""
        state = (self.autovacuum and "autovacuum") or self.state or "in a transaction"
        line = f"{who}, {state}, {duration(self.age)} old, has {', '.join(self.modes)}"
        if show_queries and self.query:
            line += f"; its query: {' '.join(self.query.split())}"
        return line


# A prepared transaction has no pid, so it would vanish in a join with pg_stat_activity.
HOLDERS = """
    select
        l.pid, p.gid, coalesce(a.usename, p.owner)::text as "user",
        a.application_name as application, a.state, a.backend_type as backend,
        coalesce(a.xact_start, p.prepared) as since,
        extract(
            epoch from clock_timestamp() - coalesce(a.xact_start, p.prepared)
        )::float8 as age,
        extract(epoch from clock_timestamp() - a.state_change)::float8 as idle,
        a.query,
        l.virtualtransaction as "transaction",
        array_agg(distinct l.mode || ' on ' || c.relname) as modes
    from pg_catalog.pg_locks l
    join pg_catalog.pg_class c on c.oid = l.relation
    left join pg_catalog.pg_stat_activity a on a.pid = l.pid
    left join pg_catalog.pg_locks t
      on l.pid is null
     and t.pid is null
     and t.locktype = 'transactionid'
     and t.virtualtransaction = l.virtualtransaction
    left join pg_catalog.pg_prepared_xacts p on p.transaction = t.transactionid
    where l.locktype = 'relation'
      and l.database = (
          select oid from pg_catalog.pg_database where datname = current_database()
      )
      and l.granted
      and l.pid is distinct from pg_backend_pid()
      and l.mode = any (%(modes)s)
      and l.relation in (
          select to_regclass(name)::oid from unnest(%(tables)s::text[]) as name
      )
    group by l.pid, p.gid, p.owner, p.prepared, a.usename, a.application_name, a.state,
             a.backend_type, a.xact_start, a.state_change, a.query,
             l.virtualtransaction
    order by age desc nulls last, l.pid
"""

MODE_NAMES = {
    f"{name.title().replace(' ', '')}Lock": name
    for name in (
        *("access share", "row share", "row exclusive", AUTOVACUUM_LOCK, "share"),
        *("share row exclusive", "exclusive", "access exclusive"),
    )
}


@dataclass
class LockSampler:
    """Who holds a step's tables, looked at again and again.

    A role without pg_read_all_stats does not see when others began; it knows them only
    for as long as it has been looking.
    """

    driver: Driver
    tables: Sequence[str]
    mode: str
    ages: dict[Any, float] = field(default_factory=dict)
    _seen: dict[Any, float] = field(default_factory=dict)

    def look(self) -> list[Holder]:
        """Who is in the way now, the oldest first."""
        cursor = self.driver.cursor(row_factory=dict_row)
        cursor.execute(
            HOLDERS,
            {"modes": list(CONFLICTS[self.mode]), "tables": list(self.tables)},
        )
        now = time.monotonic()
        found = [self._holder(row, now) for row in cursor.fetchall()]
        return sorted(found, key=lambda holder: -holder.age)

    def _holder(self, row: dict[str, Any], now: float) -> Holder:
        key = (row["pid"], row["gid"], row.pop("transaction"))
        known = now - self._seen.setdefault(key, now)
        row["age"] = max(known, row["age"] or 0.0)
        row["modes"] = tuple(sorted(_mode(mode) for mode in row["modes"]))
        holder = Holder(**row)
        if not holder.autovacuum:
            self.ages[key] = max(holder.age, self.ages.get(key, 0.0))
        return holder

    def timeout(self, max_stall: float) -> float:
        """How long to ask for the lock: a little longer than the others usually take."""
        usual = [age for age in self.ages.values() if age <= max_stall]
        return min(max_stall, max(SHORTEST, 1.2 * max(usual, default=0.0)))

    @property
    def median_age(self) -> float:
        """The median of the ages that were seen."""
        return statistics.median(self.ages.values()) if self.ages else 0.0


def _mode(told: str) -> str:
    mode, _, table = told.partition(" on ")
    return f"{MODE_NAMES.get(mode, mode)} on {table}"


@dataclass
class LockWait:
    """How the wait for one lock goes: what has been tried, and until when."""

    options: Options
    watch: LockSampler
    started: float = field(default_factory=time.monotonic)
    tries: int = 0
    longest_try: float = 0.0
    timeout: float = 0.0
    last_error: psycopg.Error | None = None
    blockers: list[Holder] = field(default_factory=list)
    _told: float = 0.0

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
            self.watch.ages.clear()
        elif not any(self._look_again() for _ in range(QUICK_LOOKS)):
            self.timeout = SHORTEST
            return self.timeout
        low, high = SAMPLE_WINDOW
        enough = time.monotonic() + min(high, max(low, self.options.max_stall))
        while True:
            old = self._old(self.watch.look())
            if not old and time.monotonic() >= enough:
                break
            if self.left <= 0:
                self.give_up(old or self.blockers)
            if old:
                self._tell(old)
                self._terminate(old)
            time.sleep(INTERVAL if not old else INTERVAL * 2)
        if self.left <= 0:
            self.give_up(self.watch.look())
        self.timeout = self.watch.timeout(self.options.max_stall)
        return self.timeout

    def _look_again(self) -> list[Holder]:
        if self.watch.ages:
            time.sleep(INTERVAL / 2)
        return [holder for holder in self.watch.look() if not holder.autovacuum]

    def _old(self, holders: list[Holder]) -> list[Holder]:
        return [
            holder
            for holder in holders
            if not holder.autovacuum and holder.age > self.options.max_stall
        ]

    def _tell(self, old: list[Holder]) -> None:
        now = time.monotonic()
        if now - self._told < TELL_EVERY:
            return
        self._told = now
        self.blockers = old
        for holder in old[:3]:
            self.options.say(f"waiting for {holder.told(self.options.show_queries)}")
        if len(old) > 3:
            self.options.say(f"and for {len(old) - 3} more")

    def _terminate(self, old: list[Holder]) -> None:
        limit = self.options.terminate_idle_older_than
        for holder in old:
            if limit is None or holder.pid is None or (holder.idle or 0.0) < limit:
                continue
            if not (holder.state or "").startswith("idle in transaction"):
                continue
            try:
                # In one statement: it may have woken up since, or be another by now.
                ended = self.watch.driver.execute(
                    """
                    select pg_terminate_backend(pid)
                    from pg_catalog.pg_stat_activity
                    where pid = %s and xact_start = %s
                      and state like 'idle in transaction%%'
                      and clock_timestamp() - state_change >= make_interval(secs => %s)
                    """,
                    (holder.pid, holder.since, limit),
                ).fetchone()
            except errors.InsufficientPrivilege:
                continue
            if ended:
                self.options.say(
                    f"ended {holder.told(self.options.show_queries)}: idle for longer "
                    f"than {duration(limit)}"
                )

    def missed(self, error: psycopg.Error, took: float) -> None:
        """Note a try that failed, after `took` seconds in the queue or under the lock."""
        self.tries += 1
        self.longest_try = max(self.longest_try, took)
        self.last_error = error

    def give_up(self, holders: list[Holder]) -> None:
        """Raise Busy, and say who was in the way."""
        tables = ", ".join(self.watch.tables)
        waited = time.monotonic() - self.started
        lines = [
            f"no {self.watch.mode} lock on {tables} within {duration(waited)}",
            f"  tried {self.tries} times; others waited at most "
            f"{duration(self.longest_try)} at a time because of us",
        ]
        show = self.options.show_queries
        lines += [f"  held by {holder.told(show)}" for holder in holders]
        if not holders and self.last_error is not None:
            lines.append(f"  the server said: {self.last_error.diag.message_primary}")
        raise Busy("\n".join(lines), hint=self._hint(holders))

    def _hint(self, holders: list[Holder]) -> str:
        budget, usual = self.options.max_stall, self.watch.median_age
        prepared = next((h.gid for h in holders if h.gid is not None), None)
        if prepared is not None:
            return (
                f"commit prepared '{prepared}' or rollback prepared '{prepared}', "
                "then run the same command again"
            )
        if any((h.state or "").startswith("idle in transaction") for h in holders):
            return (
                "end that transaction, or run the same command again with "
                "--terminate-idle-older-than 5min"
            )
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


def acquire(driver: Driver, tables: Sequence[str], mode: str, timeout: float) -> None:
    """Lock all tables at once, parent first, in the caller's transaction.

    Raises LockNotAvailable or DeadlockDetected where it cannot be had in `timeout`.
    """
    limits = {"idle_in_transaction_session_timeout": 10.0}
    if driver.info.server_version >= 140000:
        limits["client_connection_check_interval"] = 1.0
    if driver.info.server_version >= 170000:
        limits["transaction_timeout"] = 4 * STATEMENT
    if mode != AUTOVACUUM_LOCK:
        [[configured]] = _tuples(
            driver,
            "select setting::float8 / 1000 from pg_catalog.pg_settings "
            "where name = 'deadlock_timeout'",
        )
        shield = configured + SHIELD_OVER_DEADLOCK_TIMEOUT
        set_local(driver, {**limits, "lock_timeout": shield, "statement_timeout": 0})
        _lock(driver, tables, AUTOVACUUM_LOCK)
        limits = {}
    # lock_timeout counts anew for each table; statement_timeout counts them together.
    set_local(driver, {**limits, "lock_timeout": timeout, "statement_timeout": timeout})
    try:
        _lock(driver, tables, mode)
    except errors.QueryCanceled as error:
        raise errors.LockNotAvailable(str(error)) from error
    set_local(driver, {"statement_timeout": STATEMENT})


def _lock(driver: Driver, tables: Sequence[str], mode: str) -> None:
    statement: Any = f"lock table {', '.join(tables)} in {mode} mode"
    driver.execute(statement)


def set_local(driver: Driver, seconds: dict[str, float]) -> None:
    """Set parameters that are times until the end of the transaction."""
    for name, value in seconds.items():
        driver.execute(
            "select set_config(%s, %s, true)", (name, f"{round(value * 1000)}ms")
        )


def _tuples(driver: Driver, query: Any) -> list[list[Any]]:
    cursor = driver.cursor(row_factory=psycopg.rows.tuple_row)
    return [list(row) for row in cursor.execute(query).fetchall()]
