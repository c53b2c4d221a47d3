"""Audit: run checks on one snapshot, and say truthfully what was looked at."""

import contextlib
import datetime
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import errors

from sexton.audit import confirm, team
from sexton.audit.examiner import Examiner, Watch
from sexton.audit.facts import Facts, read_references, read_tables
from sexton.audit.limits import (
    INTERRUPTED,
    LOST,
    SETTINGS,
    Limits,
    hide,
    set_limits,
)
from sexton.audit.lookups import looked_up
from sexton.audit.outcome import SAMPLE, Options, Outcome, Run
from sexton.audit.rewrites import Moved, regrouped, seen
from sexton.audit.units import plan
from sexton.catalog.relations import SAFE_PATH
from sexton.catalog.schema import visible_revision
from sexton.check import Check
from sexton.database import Connection, rows, settings, snapshot
from sexton.errors import ConnectionFailed, SextonError
from sexton.project import current

REPEATS = 2  # of checks whose tables were rewritten while they were read
SNAPSHOT = "select pg_catalog.pg_current_snapshot()::pg_catalog.text as snapshot"
SYSTEM = """
    select pg_catalog.pg_current_snapshot()::pg_catalog.text as snapshot,
           c.system_identifier::pg_catalog.text as system
    from pg_catalog.pg_control_system() c
"""


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
        auditor.examiner.facts = read_references(connection, facts, selected)
        for unit in plan(selected, auditor.examiner.facts):
            auditor.examiner.take(connection, unit)
            if connection.closed:
                raise psycopg.OperationalError(LOST)
    return auditor.all_outcomes()


def run_checks(
    connection: Connection,
    selected: Sequence[Check],
    options: Options | None = None,
    *,
    connect: team.Connect | None = None,
    watch: Watch = lambda _: None,
) -> tuple[Run, list[Outcome]]:
    """Run checks on one snapshot, read-only, and look twice at soft references.

    `connect` opens more connections: for `options.jobs` above one, and to begin once more
    where a standby had to end the snapshot. `watch` gets each check's name when it
    begins and its outcome when it ends. An interrupt cancels what runs on the server;
    what was not looked at is then `incomplete`.
    """
    auditor = Auditor(selected, options or Options(), connect, watch)
    result = auditor.run(connection)
    if not auditor.limits.collided or connect is None:
        return _repeated(auditor, connection, *result)
    try:
        fresh = connect()
    except ConnectionFailed:
        return result
    with contextlib.closing(fresh):
        again = auditor.again(selected)
        return _repeated(again, fresh, *again.run(fresh))


def _repeated(
    auditor: "Auditor", connection: Connection, run: Run, outcomes: list[Outcome]
) -> tuple[Run, list[Outcome]]:
    """Repeat what was rewritten or replaced meanwhile, each time on a new snapshot."""
    found = {outcome.check.name: outcome for outcome in outcomes}
    for _ in range(REPEATS):
        moved = auditor.moved
        if not moved or auditor.limits.over or connection.closed:
            break
        auditor = auditor.again([found[name].check for name in moved])
        try:
            latest, outcomes = auditor.run(connection, repeated=True)
        except SextonError:
            break
        run = replace(run, finished_at=latest.finished_at)
        for outcome in outcomes:
            if outcome.status == "skipped":
                why = f"{outcome.reason} any more: it was dropped or renamed meanwhile"
                outcome = replace(outcome, status="incomplete", reason=why)
            found[outcome.check.name] = outcome
    return run, list(found.values())


class Auditor:
    """One run of checks: its limits, its connections and its snapshots."""

    def __init__(
        self,
        selected: Sequence[Check],
        options: Options,
        connect: team.Connect | None = None,
        watch: Watch = lambda _: None,
        *,
        began: float | None = None,
    ) -> None:
        self.selected = selected
        self.options = options
        self.connect = connect
        self.watch = watch
        self.began = time.monotonic()
        self.limits = Limits(options, self.began if began is None else began)
        self.examiner = Examiner(options, self.limits, watch)
        self.unsettled: set[str] = set()  # checks of tables that may have lost a part

    @property
    def moved(self) -> list[str]:
        """The checks whose tables were rewritten or replaced while they were read."""
        return list(self.examiner.moved)

    def again(self, selected: Sequence[Check]) -> "Auditor":
        """The same audit of other checks, within the same time."""
        return Auditor(
            *(selected, self.options, self.connect, self.watch), began=self.limits.began
        )

    def run(
        self, connection: Connection, *, repeated: bool = False
    ) -> tuple[Run, list[Outcome]]:
        """Look at everything, confirm where that is due, and say what was found.

        A repeated look insists on no table: one may have been dropped.
        """
        run = _begun(connection, self.options)
        single = self.options.jobs == 1 or self.connect is None
        may_export = not single and team.can_export(connection)
        started = False
        try:
            with snapshot(connection):
                self._set_limits(connection, run)
                facts = read_tables(connection, self.selected)
                if not repeated:
                    self.require(connection, facts)
                exported = team.export(connection) if may_export else None
                run = replace(
                    run,
                    revision=_revision(connection),
                    **_identified(connection),
                )
                hide(connection, facts.relations.values())
                self.examiner.facts = read_references(connection, facts, self.selected)
                started = True
                self._examine(connection, exported, run)
            if self.options.confirm_after and not (
                self.limits.collided or connection.closed
            ):
                self._confirm(connection, run)
        except KeyboardInterrupt:
            self.limits.stop(INTERRUPTED)
        except psycopg.Error as error:
            why = LOST if connection.closed else self.limits.why(error)
            if not (started or repeated or self.limits.collided):
                raise
            self.limits.stop(why)
        self._settle(connection)
        run = replace(run, finished_at=datetime.datetime.now(datetime.UTC))
        return run, self.all_outcomes()

    def require(self, connection: Connection, facts: Facts) -> None:
        """Insist on the project's tables, where the project's checks are to look.

        Tables in a schema that this role may not enter are there, and make their checks
        incomplete.
        """
        project = current()
        hidden = not all(table.entered for table in facts.tables.values())
        if not hidden and any(check.name in project.checks for check in self.selected):
            project.require(connection)

    def all_outcomes(self) -> list[Outcome]:
        """The outcome of every check; of those not looked at, why."""
        found = []
        why = self.limits.stopped or LOST
        for check in self.selected:
            outcome = self.examiner.outcomes.get(check.name)
            if outcome is None:
                outcome = Outcome(check, "incomplete", f"not looked at: {why}")
            elif check.name in self.examiner.unconfirmed and self.options.confirm_after:
                outcome = confirm.unconfirmed(outcome, why)
            if outcome.status == "pass" and check.name in self.unsettled:
                why = f"a part of its tables may have been taken away meanwhile: {why}"
                outcome = replace(outcome, status="incomplete", reason=why)
            elif check.name in self.examiner.moved:
                why = self.examiner.moved[check.name]
                outcome = replace(outcome, status="incomplete", reason=why)
            found.append(outcome)
        return found

    def _settle(self, connection: Connection) -> None:
        """Compare, when the snapshot has ended, what no lock on a table keeps as it is.

        Which tables are parts of another one, and the names of those that were not read.
        """
        facts, outcomes = self.examiner.facts, self.examiner.outcomes
        asked = [
            outcomes[check.name].check
            for check in self.selected
            if check.name in outcomes
            and (
                outcomes[check.name].strategy == "constraint"
                or any(facts.seen.links.get(root) for root in facts.roots([check]))
            )
        ]
        self.unsettled = {check.name for check in asked}
        if not asked or connection.closed:
            return
        relations = {
            n: r for n, r in facts.relations.items() if r.oid in facts.roots(asked)
        }
        try:
            after = seen(connection, relations.values())
        except psycopg.Error:
            return
        self.unsettled = set()
        gone = regrouped(facts.seen, after) & facts.roots(asked)
        for check in asked:
            if lost := gone & facts.roots([check]):
                self.examiner.moved[check.name] = str(Moved(facts.names(lost)))

    def _set_limits(self, connection: Connection, run: Run) -> None:
        set_limits(connection, application_name=f"sexton audit {run.id}")

    def _examine(self, connection: Connection, exported: str | None, run: Run) -> None:
        jobs = self.options.jobs

        def prepare(member: Connection) -> None:
            self._set_limits(member, run)
            hide(member, self.examiner.facts.relations.values())

        joinable = () if exported else current().checks.keys()
        units = plan(
            *(self.selected, self.examiner.facts),
            recheck=self.options.recheck,
            joinable=joinable,
            lookups=looked_up(connection, self.selected, self.examiner.facts),
        )
        units = self.examiner.cut(connection, units)
        if exported and self.connect:
            shared = [u for unit in units for u in [unit] * (jobs if unit.cut else 1)]
            team.share(
                *(connection, self.connect, exported, shared, self.limits),
                prepare=prepare,
                take=self.examiner.take,
            )
            return
        for unit in units:
            if not (self.limits.stopped or connection.closed):
                self.examiner.take(connection, unit)

    def _confirm(self, connection: Connection, run: Run) -> None:
        """Look twice at what was found, a while later, on a new snapshot."""
        if not self.examiner.unconfirmed:
            return
        since = time.monotonic() - self.began
        wait = self.options.confirm_after - since
        time.sleep(max(0, min(wait, self.limits.left)))
        with snapshot(connection):
            self._set_limits(connection, run)
            hide(connection, self.examiner.facts.relations.values())
            self.examiner.confirm(connection)


def _identified(connection: Connection) -> dict[str, Any]:
    """The snapshot, and the identifier of the cluster if this role may read it."""
    try:
        with connection.transaction():
            [found] = rows(connection, SYSTEM)
    except errors.InsufficientPrivilege:
        [found] = rows(connection, SNAPSHOT)
    return found


def _revision(connection: Connection) -> str | None:
    """The revision; None also if the table that records it is locked."""
    try:
        with connection.transaction():
            return visible_revision(connection)
    except errors.LockNotAvailable:
        return None


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
