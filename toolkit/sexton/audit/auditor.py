"""Audit: run checks on one snapshot, and say truthfully what was looked at."""

import contextlib
import datetime
import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import errors

from sexton.audit import confirm, ranges, team, walk
from sexton.audit.cursor import Cursor
from sexton.audit.facts import Facts, read_references, read_tables
from sexton.audit.limits import (
    INTERRUPTED,
    LOST,
    SETTINGS,
    TOGETHER,
    Limits,
    hide,
    settle,
)
from sexton.audit.lookups import looked_up
from sexton.audit.night import Night
from sexton.audit.outcome import SAMPLE, Options, Outcome, Run, outcome_of
from sexton.audit.queries import BadCheck, Found, fetch, find_again, has_no_parents
from sexton.audit.ranges import Cut, cut_large
from sexton.audit.units import Unit, plan, plan_alone
from sexton.check import Check
from sexton.database import Connection, scalar, settings, snapshot
from sexton.errors import ConnectionFailed
from sexton.project import current
from sexton.relations import SAFE_PATH
from sexton.schema import visible_revision

PAGE = 100  # findings asked of a check: fewer are counted without a second query

SNAPSHOT = "select pg_catalog.pg_current_snapshot()::pg_catalog.text"

Watch = Callable[[str | Outcome | walk.Covered], None]


def audit(
    connection: Connection, selected: Sequence[Check], *, sample: int = SAMPLE
) -> list[Outcome]:
    """Run checks one by one in the caller's transaction, which should be REPEATABLE READ.

    One that errors or times out is `incomplete`, and the others go on. What it finds is
    looked at once only. Raises WrongSchema where there is nothing to audit.
    """
    auditor = Auditor(selected, Options(sample=sample, confirm_after=0))
    facts = read_tables(connection, selected)
    auditor.require(connection, facts)
    with settings(connection, {**SETTINGS, "search_path": SAFE_PATH}):
        auditor.facts = read_references(connection, facts, selected)
        for unit in plan(selected, auditor.facts):
            auditor.take(connection, unit)
            if connection.closed:
                raise psycopg.OperationalError(LOST)
    return auditor.told()


def run_checks(
    connection: Connection,
    selected: Sequence[Check],
    options: Options | None = None,
    *,
    connect: team.Connect | None = None,
    watch: Watch = lambda _: None,
    cursor: Cursor | None = None,
) -> tuple[Run, list[Outcome]]:
    """Run checks on one snapshot, read-only, and look twice at soft references.

    `connect` opens more connections: for `options.jobs` above one, and to begin once more
    where a standby had to end the snapshot. `watch` gets each check's name when it
    begins and its outcome when it ends. An interrupt cancels what runs on the server;
    what was not looked at is then `incomplete`. With a `cursor`, scans of large tables
    take no longer than its budget, and go on from there in the next run.
    """
    auditor = Auditor(selected, options or Options(), connect, watch, cursor=cursor)
    result = auditor.run(connection)
    if not auditor.limits.collided or connect is None:
        return result
    again = Auditor(
        *(selected, auditor.options, connect, watch),
        began=auditor.limits.began,
        cursor=cursor,
    )
    try:
        fresh = connect()
    except ConnectionFailed:
        return result
    with contextlib.closing(fresh):
        return again.run(fresh)


class Auditor:
    """One run of checks: its limits, its connections and what it has found so far."""

    def __init__(
        self,
        selected: Sequence[Check],
        options: Options,
        connect: team.Connect | None = None,
        watch: Watch = lambda _: None,
        *,
        began: float | None = None,
        cursor: Cursor | None = None,
    ) -> None:
        self.selected = selected
        self.options = options
        self.connect = connect
        self.watch = watch
        self.facts = Facts()
        self.outcomes: dict[str, Outcome] = {}
        self.unconfirmed: dict[str, list[dict[str, Any]]] = {}
        self.looked = time.monotonic()
        self.limits = Limits(options, self.looked if began is None else began)
        self.cursor = cursor
        self.later: list[Cut] = []  # large scans, which have snapshots of their own
        self.walker = walk.Walker(self.limits, self._fetch, watch)

    # -- the run -----------------------------------------------------------------------

    def run(self, connection: Connection) -> tuple[Run, list[Outcome]]:
        """Look at everything, look again where that is due, and say what was found."""
        run = _begun(connection, self.options)
        alone = self.options.jobs == 1 or self.connect is None
        may_export = not alone and team.can_export(connection)
        started = False
        try:
            with snapshot(connection):
                self._settle(connection, run)
                facts = read_tables(connection, self.selected)
                self.require(connection, facts)
                exported = team.export(connection) if may_export else None
                run = replace(
                    run,
                    revision=visible_revision(connection),
                    snapshot=str(scalar(connection, SNAPSHOT)),
                )
                hide(connection)
                self.facts = read_references(connection, facts, self.selected)
                started = True
                self._look(connection, exported, run)
            if self.later and not (self.limits.stopped or connection.closed):
                self._go_on(connection, run)
            if self.options.confirm_after and not (
                self.limits.collided or connection.closed
            ):
                self._look_again(connection, run)
        except KeyboardInterrupt:
            self.limits.stop(INTERRUPTED)
        except psycopg.Error as error:
            why = LOST if connection.closed else self.limits.why(error)
            if not (started or self.limits.collided):
                raise
            self.limits.stop(why)
        return replace(run, finished_at=datetime.datetime.now(datetime.UTC)), self.told()

    def require(self, connection: Connection, facts: Facts) -> None:
        """Insist on the project's tables, where the project's checks are to look.

        Tables in a schema that this role may not enter are there, and make their checks
        incomplete.
        """
        project = current()
        hidden = not all(table.entered for table in facts.tables.values())
        if not hidden and any(check.name in project.checks for check in self.selected):
            project.require(connection)

    def told(self) -> list[Outcome]:
        """The outcome of every check; of those not looked at, why."""
        told = []
        why = self.limits.stopped or LOST
        for check in self.selected:
            outcome = self.outcomes.get(check.name)
            if outcome is None:
                outcome = Outcome(check, "incomplete", f"not looked at: {why}")
            elif check.name in self.unconfirmed and self.options.confirm_after:
                outcome = confirm.unconfirmed(outcome, why)
            told.append(outcome)
        return told

    def _settle(self, connection: Connection, run: Run) -> None:
        settle(connection, application_name=f"sexton audit {run.id}")

    def _look(self, connection: Connection, exported: str | None, run: Run) -> None:
        jobs = self.options.jobs

        def prepare(member: Connection) -> None:
            self._settle(member, run)
            hide(member)

        together = () if exported else current().checks.keys()
        units = plan(
            *(self.selected, self.facts),
            recheck=self.options.recheck,
            together=together,
            lookups=looked_up(connection, self.selected, self.facts),
        )
        units = self._cut(connection, units)
        if self.cursor:
            self.later = [unit.cut for unit in units if unit.cut]
            units = [unit for unit in units if not unit.cut]
        if exported and self.connect:
            shared = [u for unit in units for u in [unit] * (jobs if unit.cut else 1)]
            team.share(
                *(connection, self.connect, exported, shared, self.limits),
                prepare=prepare,
                take=self.take,
            )
            return
        for unit in units:
            if not (self.limits.stopped or connection.closed):
                self.take(connection, unit)

    def _cut(self, connection: Connection, units: Sequence[Unit]) -> list[Unit]:
        seconds = min(
            ranges.PIECE_SECONDS, (self.options.statement_timeout or math.inf) / 4
        )
        return cut_large(connection, units, self.facts, seconds)

    def _go_on(self, connection: Connection, run: Run) -> None:
        """Go on with the large scans, each piece on a short snapshot of its own."""
        assert self.cursor is not None

        @contextlib.contextmanager
        def briefly(member: Connection) -> Iterator[None]:
            with snapshot(member):
                self._settle(member, run)
                hide(member)
                yield

        for check in (check for cut in self.later for check in cut.unit.checks):
            self.watch(check.name)
        night = Night(self.walker, self.cursor, self.facts, self.options, briefly)
        for outcome in night.walk(connection, self.connect, self.later):
            self._keep(outcome)

    # -- one unit ----------------------------------------------------------------------

    def take(self, connection: Connection, unit: Unit) -> None:
        """Look at one unit, and keep what comes of it; of a large scan, take a share."""
        for check in unit.checks:
            self.watch(check.name)
        if unit.cut and not self.walker.help(connection, unit.cut):
            return
        for outcome in self._outcomes(connection, unit):
            self._keep(outcome)

    def _keep(self, outcome: Outcome) -> None:
        self.outcomes[outcome.check.name] = outcome
        self.watch(outcome)

    def _outcomes(self, connection: Connection, unit: Unit) -> Iterator[Outcome]:
        """Run one unit's statement and judge what it returns.

        An error makes its checks `incomplete`; it does not leave here.
        """
        [check, *others] = unit.checks
        scope = self.facts.scope(check)
        if unit.skipped:
            yield Outcome(check, "skipped", unit.skipped)
            return
        if unit.barred:
            yield Outcome(check, "incomplete", unit.barred, scope=scope)
            return
        if unit.enforced:
            why = f"enforced by CONSTRAINT {unit.enforced}"
            yield Outcome(check, "pass", why, "constraint", scope)
            return
        found: dict[str, Found] = {}
        refused: dict[str, str] = {}
        reason: str | None = None
        started = time.perf_counter()
        try:
            found, refused = self._fetch(connection, unit)
        except (psycopg.Error, BadCheck) as error:
            late = unit.cut and isinstance(error, errors.QueryCanceled)
            if others and not (late or self.limits.over or connection.closed):
                # One of them is at fault: the others must not suffer for it.
                for check in unit.checks:
                    alone = plan_alone(check, self.facts, recheck=True)
                    [alone] = self._cut(connection, [alone]) if unit.cut else [alone]
                    if alone.cut:
                        self.walker.help(connection, alone.cut)
                    yield from self._outcomes(connection, alone)
                return
            reason = self._why(error)
            if unit.cut:
                reason = walk.partly(unit.cut, reason)
        seconds = time.perf_counter() - started + (unit.cut.took if unit.cut else 0)
        elapsed = round(seconds * 1000, 3)
        for check, strategy in zip(unit.checks, unit.strategies, strict=True):
            if doubt := refused.get(check.name, reason):
                outcome = Outcome(check, "incomplete", doubt)
            else:
                outcome = self._outcome(check, found[check.name])
            yield replace(
                outcome,
                strategy=strategy,
                scope=self.facts.scope(check),
                elapsed_ms=elapsed,
            )

    def _fetch(
        self, connection: Connection, unit: Unit
    ) -> tuple[dict[str, Found], dict[str, str]]:
        """What the checks found; and those whose findings are not to be believed."""
        twice = unit.twice and self.options.confirm_after
        limit = max(self.options.sample, confirm.LIMIT if twice else PAGE)
        if unit.cut:
            if unit.cut.error or not unit.cut.whole:
                raise unit.cut.error or errors.QueryCanceled
            return walk.result(connection, unit.cut, self.facts, limit)
        joined = len(unit.checks) > 1 and not unit.hits
        at_most = min(TOGETHER, self.limits.left / 4) if joined else math.inf
        self.limits.grant(connection, at_most)
        with connection.transaction():
            found = fetch(connection, unit, limit, self.options.known)
            return found, {
                check.name: f"{check.parent} is empty, which would make an orphan "
                "of every row: that is not believed"
                for check in unit.checks
                if found[check.name].count and has_no_parents(connection, check, self.facts)
            }

    def _outcome(self, check: Check, found: Found) -> Outcome:
        try:
            outcome = outcome_of(check, found, self.options.sample)
        except BadCheck as error:
            return Outcome(check, "incomplete", self._why(error))
        if outcome.count and check.parent:
            self.unconfirmed[check.name] = found.rows
        return outcome

    def _why(self, error: psycopg.Error | BadCheck) -> str:
        if isinstance(error, BadCheck):
            return f"the check contradicts itself: {error}"
        return self.limits.why(error)

    # -- the second look ---------------------------------------------------------------

    def _look_again(self, connection: Connection, run: Run) -> None:
        """On a new snapshot, keep those findings that are findings still."""
        if not self.unconfirmed:
            return
        after = self.options.confirm_after
        since = time.monotonic() - self.looked
        time.sleep(max(0, min(after - since, self.limits.left)))
        with snapshot(connection):
            self._settle(connection, run)
            hide(connection)
            for name, rows in list(self.unconfirmed.items()):
                first = self.outcomes[name]
                self.watch(name)
                try:
                    self.limits.grant(connection)
                    with connection.transaction():
                        still = find_again(connection, first.check, self.facts, rows)
                except (psycopg.Error, BadCheck) as error:
                    if connection.closed:
                        raise
                    outcome = confirm.unconfirmed(first, self._why(error))
                else:
                    outcome = confirm.confirmed(
                        *(first, rows, still), sample=self.options.sample, after=after
                    )
                del self.unconfirmed[name]
                self._keep(outcome)


def _begun(connection: Connection, options: Options) -> Run:
    info = connection.info
    return Run(
        id=str(uuid.uuid4()),
        started_at=datetime.datetime.now(datetime.UTC),
        database=info.dbname,
        server_version=info.parameter_status("server_version") or "",
        revision=None,
        snapshot="",
        host=info.host,
        port=info.port,
        role=info.user,
        project=current().name,
        label=options.label,
    )
