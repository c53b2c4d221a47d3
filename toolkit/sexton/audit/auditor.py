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
from sexton.audit.units import plan
from sexton.catalog.relations import SAFE_PATH
from sexton.catalog.schema import visible_revision
from sexton.check import Check
from sexton.database import Connection, rows, settings, snapshot
from sexton.errors import ConnectionFailed
from sexton.project import current

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
        return result
    again = Auditor(
        *(selected, auditor.options, connect, watch),
        began=auditor.limits.began,
    )
    try:
        fresh = connect()
    except ConnectionFailed:
        return result
    with contextlib.closing(fresh):
        return again.run(fresh)


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

    def run(self, connection: Connection) -> tuple[Run, list[Outcome]]:
        """Look at everything, confirm where that is due, and say what was found."""
        run = _begun(connection, self.options)
        single = self.options.jobs == 1 or self.connect is None
        may_export = not single and team.can_export(connection)
        started = False
        try:
            with snapshot(connection):
                self._set_limits(connection, run)
                facts = read_tables(connection, self.selected)
                self.require(connection, facts)
                exported = team.export(connection) if may_export else None
                run = replace(
                    run,
                    revision=visible_revision(connection),
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
            if not (started or self.limits.collided):
                raise
            self.limits.stop(why)
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
            found.append(outcome)
        return found

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
