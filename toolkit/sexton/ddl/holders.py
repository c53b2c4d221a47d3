"""Who holds locks that stand in a step's way, and since when."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import errors
from psycopg.rows import dict_row

from sexton.catalog.relations import literal, quoted, resolve
from sexton.ddl.options import Options
from sexton.ddl.session import Driver
from sexton.ddl.steps import AUTOVACUUM_LOCK, CONFLICTS
from sexton.text.durations import duration
from sexton.text.printable import printable

SHORTEST = 0.05  # of a lock's timeout: below it, the planner's own short locks get in
HIDDEN = "what it does is hidden from this role"


@dataclass(frozen=True)
class Holder:
    """A session, or a prepared transaction, that holds locks which are in the way.

    Without pg_read_all_stats, `state`, `since` and `idle` of others are None, `hidden` is
    true, and `age` is how long it has been seen. Times are in seconds.
    """

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

    @property
    def hidden(self) -> bool:
        """Whether this role may not see what it does, nor since when."""
        return self.gid is None and self.since is None and self.state is None

    @property
    def idle_in_transaction(self) -> bool:
        """Whether it does nothing and holds its locks all the same."""
        return (self.state or "").startswith("idle in transaction")

    def document(self, show_queries: bool) -> dict[str, Any]:
        """What to print of it; the query only where asked."""
        shown: dict[str, Any] = {"pid": self.pid, "prepared": self.gid}
        shown |= {"user": self.user, "application": self.application}
        shown |= {"state": self.state, "hidden": self.hidden}
        shown |= {"age_s": None if self.hidden else round(self.age, 3)}
        shown |= {"modes": list(self.modes)}
        if show_queries:
            shown["query"] = self.query
        return shown

    def summary(self, show_queries: bool = False) -> str:
        """One line about it."""
        line = summary(self.document(show_queries))
        if self.autovacuum:
            line = line.replace(", None,", ", autovacuum,")
        return line


def summary(holder: dict[str, Any]) -> str:
    """One line about a holder's document."""
    if holder["prepared"] is not None:
        who = f"prepared transaction {holder['prepared']!r} of {holder['user']}"
    elif holder["pid"] is None:
        who = "a prepared transaction"
    else:
        who = f"pid {holder['pid']}, {holder['user'] or 'a user we may not see'}"
        who += f" ({holder['application']})" if holder["application"] else ""
    state = HIDDEN if holder["hidden"] else holder["state"] or "in a transaction"
    age = "" if holder["age_s"] is None else f", {duration(holder['age_s'])} old"
    line = f"{who}, {state}{age}, holds {', '.join(holder['modes'])}"
    if holder.get("query"):
        line += f"; its query: {' '.join(holder['query'].split())}"
    return printable(line)


# A prepared transaction has no pid, so it would vanish in a join with pg_stat_activity.
HOLDERS = """
    select
        l.pid, p.gid, coalesce(a.usename, p.owner)::pg_catalog.text as "user",
        a.application_name as application, a.state, a.backend_type as backend,
        coalesce(a.xact_start, p.prepared) as since,
        pg_catalog.date_part(
            'epoch'::text, pg_catalog.clock_timestamp() - coalesce(a.xact_start, p.prepared)
        ) as age,
        pg_catalog.date_part(
            'epoch'::text, pg_catalog.clock_timestamp() - a.state_change
        ) as idle,
        a.query,
        l.virtualtransaction as "transaction",
        pg_catalog.array_agg(array[l.mode, c.relname::pg_catalog.text]) as locks
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
          select oid from pg_catalog.pg_database
          where datname = pg_catalog.current_database()
      )
      and l.granted
      and l.pid is distinct from pg_catalog.pg_backend_pid()
      and l.mode = any (%(modes)s::pg_catalog.text[])
      and l.relation = any (%(oids)s::pg_catalog.oid[])
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
    """Who holds a step's tables, sampled again and again.

    A role without pg_read_all_stats does not see when others began; it knows them only
    for as long as it has been sampling.
    """

    driver: Driver
    tables: Sequence[str]
    mode: str
    ages: dict[Any, float] = field(default_factory=dict)
    _seen: dict[Any, float] = field(default_factory=dict)
    oids: list[int] | None = None  # of the tables, if they are known

    def sample(self) -> list[Holder]:
        """Who is in the way now, the oldest first."""
        if self.oids is None:
            found = resolve(self.driver, self.tables)
            self.oids = [relation.oid for relation in found.values()]
        cursor = self.driver.cursor(row_factory=dict_row)
        cursor.execute(HOLDERS, {"modes": list(CONFLICTS[self.mode]), "oids": self.oids})
        now = time.monotonic()
        holders = [self._holder(row, now) for row in cursor.fetchall()]
        return sorted(holders, key=lambda holder: -holder.age)

    def _holder(self, row: dict[str, Any], now: float) -> Holder:
        key = (row["pid"], row["gid"], row.pop("transaction"))
        known = now - self._seen.setdefault(key, now)
        row["age"] = max(known, row["age"] or 0.0)
        locks = row.pop("locks")
        modes = {f"{MODE_NAMES.get(mode, mode)} on {table}" for mode, table in locks}
        holder = Holder(**row, modes=tuple(sorted(modes)))
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


def terminate_idle(driver: Driver, holders: Sequence[Holder], options: Options) -> None:
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


def advice(driver: Driver, holders: Sequence[Holder]) -> str | None:
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
    cursor = driver.cursor(row_factory=dict_row)
    [row] = cursor.execute("select current_user::pg_catalog.text as role").fetchall()
    return f'grant "pg_read_all_stats" to {quoted(row["role"])}'
