"""Audit: run checks on one snapshot, and say truthfully what was looked at."""

import contextlib
import datetime
import hashlib
import json
import math
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import psycopg
from psycopg import errors

from sexton.audit import queries as looking
from sexton.audit.queries import Facts, Found, Unit
from sexton.check import Check
from sexton.database import Connection, scalar, set_local, snapshot, to_sexton_error
from sexton.errors import ConnectionFailed, UsageError
from sexton.project import all_checks, current
from sexton.schema import visible_revision

SAMPLE = 5  # findings shown for each check; the count is exact all the same
STATEMENT_TIMEOUT = 60.0  # seconds; an audit must not be the incident
LOCK_TIMEOUT = "1s"  # nor queue behind one
CONFIRM_AFTER = 1.0  # seconds between two looks at a soft reference
PAGE = 100  # findings asked of a check: fewer are counted without a second query
CONFIRM_LIMIT = 10_000  # findings of a check that are looked at twice; bounds memory

EXPORT = "select pg_export_snapshot()"
SNAPSHOT = "select pg_current_snapshot()::text"
INTERRUPTED = "interrupted"
LOST = "the connection was lost"
COLLISION = (
    "the standby had to remove rows that this snapshot sees; a longer "
    "max_standby_streaming_delay or hot_standby_feedback lets it keep them"
)

Status = Literal["pass", "fail", "incomplete", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One offence: the row by its key, and what the check says about it."""

    table: str
    key: dict[str, Any]
    message: str
    values: dict[str, Any]
    fingerprint: str


@dataclass(frozen=True)
class Outcome:
    """What one check found and how it looked, or why it could not look.

    `count` includes the `known`, those that the baseline accepts. `scope` says which
    tables were looked at, with about how many rows.
    """

    check: Check
    status: Status
    reason: str | None = None
    strategy: str = ""
    scope: str = ""
    count: int = 0
    count_is: Literal["exact", "at_least"] = "exact"
    known: int = 0
    findings: list[Finding] = field(default_factory=list)
    matched: list[str] = field(default_factory=list)
    elapsed_ms: float = 0.0

    @property
    def new(self) -> int:
        """How many findings the baseline does not know."""
        return self.count - self.known

    @property
    def truncated(self) -> bool:
        """Whether there are more new findings than are shown."""
        return self.new > len(self.findings) or self.count_is == "at_least"


@dataclass(frozen=True)
class Run:
    """When, where and on which snapshot an audit ran."""

    id: str
    started_at: datetime.datetime
    database: str
    server_version: str
    revision: str | None
    snapshot: str
    finished_at: datetime.datetime | None = None


@dataclass(frozen=True)
class Options:
    """How to run an audit; times in seconds, `known` as {check: identities}.

    An identity is the text of the JSON array [table, key].
    """

    sample: int = SAMPLE
    jobs: int = 1
    statement_timeout: float = STATEMENT_TIMEOUT
    deadline: float | None = None
    confirm_after: float = CONFIRM_AFTER
    recheck: bool = False
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)


def select_checks(
    names: Sequence[str], known: Mapping[str, Check] | None = None
) -> list[Check]:
    """The checks named, or all of them; raises UsageError for an unknown name."""
    known = all_checks() if known is None else known
    for name in names:
        if name not in known:
            raise UsageError(f"there is no check {name!r}", hint="sexton checks lists them")
    return [known[name] for name in dict.fromkeys(names) or known]


def begin(connection: Connection) -> None:
    """Settle the transaction's limits, before `audit`; call it first in a transaction.

    The transaction should be REPEATABLE READ, so that all checks see the same rows.
    Raises WrongSchema where there is nothing to audit.
    """
    settle(connection)
    current().require(connection)


def settle(connection: Connection) -> None:
    """Set the limits of a transaction that looks at others' data."""
    for parameter, value in (
        ("statement_timeout", f"{STATEMENT_TIMEOUT:.0f}s"),
        ("lock_timeout", LOCK_TIMEOUT),
        # While other connections work on its snapshot, this one may wait.
        ("idle_in_transaction_session_timeout", "0"),
        # A policy would hide rows, and missing parents make orphans of their children.
        ("row_security", "off"),
        # Compiling costs more than all the probing.
        ("jit", "off"),
    ):
        set_local(connection, parameter, value)


def audit(
    connection: Connection, selected: Sequence[Check], *, sample: int = SAMPLE
) -> Iterator[Outcome]:
    """Run checks one by one, in a transaction that `begin` has prepared.

    One that errors or times out is `incomplete`, and the others go on. What it finds is
    looked at once only.
    """
    auditor = Auditor(selected, Options(sample=sample, confirm_after=0))
    auditor.facts = looking.read_facts(connection, selected)
    for check in selected:
        unit = looking.plan_alone(check, auditor.facts, recheck=False)
        for outcome in auditor.look(connection, unit):
            if connection.closed:
                raise psycopg.OperationalError(outcome.reason or "")
            yield outcome


Watch = Callable[[str | Outcome], None]


def run_checks(
    connection: Connection,
    selected: Sequence[Check],
    options: Options | None = None,
    *,
    connect: Callable[[], Connection] | None = None,
    watch: Watch = lambda _: None,
) -> tuple[Run, list[Outcome]]:
    """Run checks on one snapshot, read-only, and look twice at soft references.

    `connect` opens more connections: for `options.jobs` above one, and to begin once more
    where a standby had to end the snapshot. `watch` is told each check's name when it
    begins and its outcome when it ends. An interrupt cancels what runs on the server;
    what was not looked at is then `incomplete`.
    """
    auditor = Auditor(selected, options or Options(), connect, watch)
    told = auditor.run(connection)
    if not auditor.collided or connect is None:
        return told
    again = Auditor(selected, auditor.options, connect, watch, began=auditor.began)
    try:
        fresh = connect()
    except ConnectionFailed:
        return told
    with contextlib.closing(fresh):
        return again.run(fresh)


class Auditor:
    """One run of checks: its limits, its connections and what it has found so far."""

    def __init__(
        self,
        selected: Sequence[Check],
        options: Options,
        connect: Callable[[], Connection] | None = None,
        watch: Watch = lambda _: None,
        *,
        began: float | None = None,
    ) -> None:
        self.selected = selected
        self.options = options
        self.connect = connect
        self.watch = watch
        self.facts = Facts({}, {})
        self.outcomes: dict[str, Outcome] = {}
        self.unconfirmed: dict[str, list[dict[str, Any]]] = {}
        self.stopped: str | None = None  # why the rest is not looked at
        self.lost = False  # whether a connection cannot go on
        self.collided = False  # with a standby's replay, which ended the snapshot
        self.looked = time.monotonic()
        self.began = self.looked if began is None else began

    # -- the run -----------------------------------------------------------------------

    def run(self, connection: Connection) -> tuple[Run, list[Outcome]]:
        """Look at everything, look again where that is due, and tell."""
        run = Run(
            id=str(uuid.uuid4()),
            started_at=datetime.datetime.now(datetime.UTC),
            database=connection.info.dbname,
            server_version=connection.info.parameter_status("server_version") or "",
            revision=None,
            snapshot="",
        )
        may_export = self.options.jobs > 1 and self.connect and _can_export(connection)
        started = False
        try:
            with snapshot(connection):
                self._settle(connection, run)
                exported = str(scalar(connection, EXPORT)) if may_export else None
                own = current().checks
                if any(check.name in own for check in self.selected):
                    current().require(connection)
                run = replace(
                    run,
                    revision=visible_revision(connection),
                    snapshot=str(scalar(connection, SNAPSHOT)),
                )
                self.facts = looking.read_facts(connection, self.selected)
                units = looking.plan(
                    self.selected, self.facts, recheck=self.options.recheck
                )
                started = True
                if exported:
                    self._share(connection, exported, units, run)
                else:
                    for unit in units:
                        if not self.lost:
                            self._take(connection, unit)
            if self.options.confirm_after and not (self.collided or connection.closed):
                self._look_again(connection, run)
        except KeyboardInterrupt:
            self.stopped = INTERRUPTED
        except psycopg.Error as error:
            self.stopped = LOST if self.lost else self._why(error)
            if not (started or self.collided):
                raise
        return replace(run, finished_at=datetime.datetime.now(datetime.UTC)), self._told()

    def _told(self) -> list[Outcome]:
        """The outcome of every check; of those not looked at, why."""
        told = []
        why = self.stopped or (LOST if self.lost else None)
        for check in self.selected:
            outcome = self.outcomes.get(check.name)
            if outcome is None:
                outcome = Outcome(check, "incomplete", f"not looked at: {why}")
            elif check.name in self.unconfirmed and self.options.confirm_after:
                outcome = _unconfirmed(outcome, why)
            told.append(outcome)
        return told

    def _settle(self, connection: Connection, run: Run) -> None:
        settle(connection)
        set_local(connection, "application_name", f"sexton audit {run.id}")

    def _share(
        self, leader: Connection, exported: str, units: list[Unit], run: Run
    ) -> None:
        """Let several connections take the units, all on the leader's snapshot."""
        assert self.connect is not None
        waiting: queue.SimpleQueue[Unit] = queue.SimpleQueue()
        for unit in units:
            waiting.put(unit)
        ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

        def work(connection: Connection) -> None:
            try:
                if connection is leader:
                    self._take_all(connection, waiting)
                else:
                    with snapshot(connection):
                        adopt: Any = f"set transaction snapshot '{exported}'"
                        connection.execute(adopt)
                        self._settle(connection, run)
                        self._take_all(connection, waiting)
                ended.put(None)
            except Exception as error:
                ended.put(error)

        with contextlib.ExitStack() as stack:
            team = [leader]
            for _ in range(min(self.options.jobs, len(units)) - 1):
                team.append(self.connect())
                stack.callback(team[-1].close)
            threads = [threading.Thread(target=work, args=(c,)) for c in team]
            for thread in threads:
                thread.start()
            try:
                failures = [ended.get() for _ in threads]
            except KeyboardInterrupt:
                self.stopped = INTERRUPTED
                for connection in team:
                    with contextlib.suppress(psycopg.Error):
                        connection.cancel_safe(timeout=5)
                raise
            finally:
                for thread in threads:
                    thread.join()
        for failure in failures:
            if failure:
                raise failure

    def _take_all(self, connection: Connection, waiting: "queue.SimpleQueue[Unit]") -> None:
        with contextlib.suppress(queue.Empty):
            while not (self.stopped or self.collided or connection.closed):
                self._take(connection, waiting.get_nowait())

    # -- one unit ----------------------------------------------------------------------

    def _take(self, connection: Connection, unit: Unit) -> None:
        for check in unit.checks:
            self.watch(check.name)
        for outcome in self.look(connection, unit):
            self._keep(outcome)

    def _keep(self, outcome: Outcome) -> None:
        self.outcomes[outcome.check.name] = outcome
        self.watch(outcome)

    def look(self, connection: Connection, unit: Unit) -> Iterator[Outcome]:
        """Run one unit's statement and judge what it returns.

        An error makes its checks `incomplete`; it does not leave here.
        """
        [check, *others] = unit.checks
        if unit.skipped:
            yield Outcome(check, "skipped", unit.skipped)
            return
        if unit.enforced:
            why = f"enforced by CONSTRAINT {unit.enforced}"
            scope = looking.scope(check, self.facts)
            yield Outcome(check, "pass", why, "constraint", scope)
            return
        reason: str | None = None
        started = time.perf_counter()
        try:
            found, refused = self._fetch(connection, unit)
        except psycopg.Error as error:
            if others and not self._over() and not connection.closed:
                # One of them is at fault: the others must not suffer for it.
                for check in unit.checks:
                    alone = looking.plan_alone(check, self.facts, recheck=True)
                    yield from self.look(connection, alone)
                return
            found, refused, reason = {}, {}, self._why(error)
            if connection.closed or self.collided:
                self.lost = True
        elapsed = round((time.perf_counter() - started) * 1000, 3)
        for check in unit.checks:
            if doubt := refused.get(check.name, reason):
                outcome = Outcome(check, "incomplete", doubt)
            else:
                outcome = self._outcome(check, found[check.name])
                if outcome.count and check.parent:
                    self.unconfirmed[check.name] = found[check.name].rows
            yield replace(
                outcome,
                strategy=unit.strategy,
                scope=looking.scope(check, self.facts),
                elapsed_ms=elapsed,
            )

    def _fetch(
        self, connection: Connection, unit: Unit
    ) -> tuple[dict[str, Found], dict[str, str]]:
        """What the checks found; and those whose findings are not to be believed."""
        twice = unit.twice and self.options.confirm_after
        limit = max(self.options.sample, CONFIRM_LIMIT if twice else PAGE)
        self._limit(connection)
        with connection.transaction():
            found = unit.fetch(connection, limit, self.options.known)
            return found, {
                check.name: f"{check.parent} is empty, which would make an orphan "
                "of every row: that is not believed"
                for check in unit.checks
                if found[check.name].count and _has_no_parents(connection, check)
            }

    def _limit(self, connection: Connection) -> None:
        """Give the next statement its time: its own limit, or what the deadline leaves."""
        seconds = min(self.options.statement_timeout or math.inf, self._left())
        if seconds <= 0:
            raise errors.QueryCanceled
        milliseconds = 0 if math.isinf(seconds) else math.ceil(seconds * 1000)
        set_local(connection, "statement_timeout", f"{milliseconds}ms")

    def _left(self) -> float:
        """Seconds until the deadline."""
        if self.options.deadline is None:
            return math.inf
        return self.options.deadline - (time.monotonic() - self.began)

    def _over(self) -> bool:
        return self.stopped is not None or self._left() <= 0

    def _why(self, error: psycopg.Error) -> str:
        if isinstance(error, errors.SerializationFailure):
            # A snapshot that only reads loses to nobody but a standby's replay.
            self.collided = True
            return COLLISION
        if isinstance(error, errors.QueryCanceled):
            if self.stopped:
                return self.stopped
            if self._over():
                return f"the deadline of {self.options.deadline:g} s had passed"
            if "statement timeout" in str(error):
                return f"stopped after {self.options.statement_timeout:g} s, its timeout"
        try:
            return to_sexton_error(error).message
        except psycopg.Error:
            return f"the server said {error.sqlstate}: {error.diag.message_primary}"

    def _outcome(self, check: Check, found: Found) -> Outcome:
        fresh = [row for row in found.rows if not row["_known"]]
        all_known = found.count == found.known > 0
        return Outcome(
            check,
            status="fail" if found.count > found.known else "pass",
            reason=f"the baseline knows {found.known:,}" if all_known else None,
            count=found.count,
            known=found.known,
            findings=[_finding(check, row) for row in fresh[: self.options.sample]],
            matched=[row["_identity"] for row in found.rows if row["_known"]],
        )

    # -- the second look ---------------------------------------------------------------

    def _look_again(self, connection: Connection, run: Run) -> None:
        """On a new snapshot, keep those findings that are findings still."""
        if not self.unconfirmed:
            return
        since = time.monotonic() - self.looked
        time.sleep(max(0, min(self.options.confirm_after - since, self._left())))
        with snapshot(connection):
            self._settle(connection, run)
            for name, rows in list(self.unconfirmed.items()):
                first = self.outcomes[name]
                self.watch(name)
                try:
                    self._limit(connection)
                    with connection.transaction():
                        still = looking.find_again(
                            connection, first.check, self.facts, rows
                        )
                except psycopg.Error as error:
                    if connection.closed:
                        raise
                    outcome = _unconfirmed(first, self._why(error))
                else:
                    outcome = self._confirmed(first, rows, still)
                del self.unconfirmed[name]
                self._keep(outcome)

    def _confirmed(
        self, first: Outcome, rows: list[dict[str, Any]], still: set[str]
    ) -> Outcome:
        left = [row for row in rows if row["_identity"] in still]
        gone = len(rows) - len(left)
        found = Found(left, len(left), sum(row["_known"] for row in left))
        second = self._outcome(first.check, found)
        said = [second.reason] if second.reason else []
        partial = first.count > len(rows)
        if partial:
            said.append(
                f"{first.count:,} at the first look; {len(rows):,} of them looked at twice"
            )
        if gone:
            was = "was" if gone == 1 else "were"
            said.append(
                f"{gone:,} more {was} gone at the second look, "
                f"{self.options.confirm_after:g} s later: a writer at work"
            )
        return replace(
            second,
            reason="; ".join(said) or None,
            count_is="at_least" if partial else "exact",
            strategy=first.strategy,
            scope=first.scope,
            elapsed_ms=first.elapsed_ms,
        )


def _can_export(connection: Connection) -> bool:
    """Whether the server lets other connections share a snapshot."""
    try:
        with snapshot(connection):
            scalar(connection, EXPORT)
    except (errors.ObjectNotInPrerequisiteState, errors.FeatureNotSupported):
        return False
    return True


def _unconfirmed(first: Outcome, why: str | None) -> Outcome:
    reason = f"seen once, not confirmed by a second look: {why}"
    return replace(first, status="incomplete", reason=reason)


def _has_no_parents(connection: Connection, check: Check) -> bool:
    parent: Any = check.parent
    return bool(parent) and not scalar(connection, f"select exists (table {parent})")


def _finding(check: Check, row: dict[str, Any]) -> Finding:
    values = {name: value for name, value in row.items() if not name.startswith("_")}
    table = values.pop("table", check.table)
    key = {name: values[name] for name in check.key}
    return Finding(
        table=table,
        key=key,
        message=check.message.format_map({"table": table, **values}),
        values={name: value for name, value in values.items() if name not in key},
        fingerprint=fingerprint(check.name, table, key),
    )


def fingerprint(check: str, table: str, key: Mapping[str, Any]) -> str:
    """What identifies a finding from run to run: check, table and key, and no more."""
    identity = json.dumps([check, table, key], default=str, sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
