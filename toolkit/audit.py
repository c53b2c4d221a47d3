"""Audit: run checks on one snapshot, and say truthfully what was looked at."""

import datetime
import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import psycopg

from checks import Check, Severity, all_checks
from toolkit import __version__
from toolkit.database import Connection, plain, rows, scalar, set_local, snapshot
from toolkit.errors import UsageError
from toolkit.schema import columns, require_models, visible_revision

SCHEMA_VERSION = 1
SAMPLE = 5  # findings shown for each check; the count is exact all the same
STATEMENT_TIMEOUT = "60s"  # an audit must not be the incident
LOCK_TIMEOUT = "1s"  # nor queue behind one

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
    """What one check found, or why it could not look."""

    check: Check
    status: Status
    reason: str | None = None
    count: int = 0
    findings: list[Finding] = field(default_factory=list)
    elapsed_ms: float = 0.0

    @property
    def truncated(self) -> bool:
        """Whether there are more findings than are shown."""
        return self.count > len(self.findings)


@dataclass(frozen=True)
class Run:
    """When, where and on which snapshot an audit ran."""

    id: str
    started_at: datetime.datetime
    database: str
    server_version: str
    revision: str | None
    snapshot: str


def select_checks(names: Sequence[str]) -> list[Check]:
    """The checks named, or all of them; raises UsageError for an unknown name."""
    known = all_checks()
    for name in names:
        if name not in known:
            raise UsageError(f"there is no check {name!r}", hint="sexton checks lists them")
    return [known[name] for name in names or known]


def begin(connection: Connection) -> Run:
    """Settle the transaction's limits and snapshot; call it first in a transaction.

    The transaction must be REPEATABLE READ and READ ONLY, so that all checks see the
    same rows and none can change any.
    """
    for parameter, value in (
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", LOCK_TIMEOUT),
        # A policy would hide rows, and missing parents make orphans of their children.
        ("row_security", "off"),
        ("jit", "off"),
    ):
        set_local(connection, parameter, value)
    require_models(connection)
    return Run(
        id=str(uuid.uuid4()),
        started_at=datetime.datetime.now(datetime.UTC),
        database=connection.info.dbname,
        server_version=connection.info.parameter_status("server_version") or "",
        revision=visible_revision(connection),
        snapshot=str(scalar(connection, "select pg_current_snapshot()::text")),
    )


def audit(
    connection: Connection, selected: Sequence[Check], *, sample: int = SAMPLE
) -> Iterator[Outcome]:
    """Run checks one by one, in a transaction that `begin` has prepared.

    One that errors or times out is `incomplete`, and the others go on.
    """
    tables: dict[str, set[str]] = {}
    for check in selected:
        started = time.perf_counter()
        try:
            with connection.transaction():
                outcome = _run(connection, check, tables, sample)
        except psycopg.Error as error:
            if connection.closed:
                raise
            outcome = Outcome(check, "incomplete", reason=_said(error))
        elapsed = (time.perf_counter() - started) * 1000
        yield replace(outcome, elapsed_ms=round(elapsed, 3))


def _said(error: psycopg.Error) -> str:
    try:
        return plain(error).message
    except psycopg.Error:
        return f"the server said {error.sqlstate}: {error.diag.message_primary}"


def _run(
    connection: Connection, check: Check, tables: dict[str, set[str]], sample: int
) -> Outcome:
    instead = []
    for table, needed in check.reads.items():
        if table not in tables:
            tables[table] = columns(connection, table)
        if not tables[table] and table in check.stand_ins:
            instead.append(f"{table} as ({check.stand_ins[table]})")
            continue
        if not tables[table]:
            return Outcome(check, "skipped", reason=f"there is no table {table}")
        if absent := sorted(set(needed) - tables[table]):
            return Outcome(
                check, "skipped", reason=f"{table} has no column {', '.join(absent)}"
            )
    stand_ins = f"with {', '.join(instead)} " if instead else ""
    query: Any = f"""
        {stand_ins}select found.*, count(*) over () as "_count"
        from ({check.find}) found {_order(check)}
    """  # noqa: S608 - the check's own query
    if check.judge:
        judged = map(check.judge, rows(connection, query))
        found = [row for row in judged if row is not None]
        count = len(found)
    else:
        query = f"{query} limit {max(sample, 1):d}"
        found = rows(connection, query)
        count = found[0]["_count"] if found else 0
    parent: Any = check.parent
    if count and parent and not scalar(connection, f"select exists (table {parent})"):
        return Outcome(
            check,
            "incomplete",
            reason=f"{parent} is empty, which would make an orphan of every row: "
            "that is not believed",
        )
    findings = [_finding(check, row) for row in found[:sample]]
    return Outcome(check, "fail" if count else "pass", count=count, findings=findings)


def _order(check: Check) -> str:
    return f"order by {', '.join(check.key)}" if check.key else ""


def _finding(check: Check, row: dict[str, Any]) -> Finding:
    values = {name: value for name, value in row.items() if name != "_count"}
    key = {name: values[name] for name in check.key}
    table = values.pop("table", check.table)
    identity = json.dumps([check.name, table, key], default=str, sort_keys=True)
    return Finding(
        table=table,
        key=key,
        message=check.message.format_map({"table": table, **values}),
        values={name: value for name, value in values.items() if name not in key},
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:32],
    )


def run_checks(
    connection: Connection, selected: Sequence[Check], *, sample: int = SAMPLE
) -> tuple[Run, list[Outcome]]:
    """Run checks in a transaction of their own, on one snapshot, read-only."""
    with snapshot(connection):
        run = begin(connection)
        return run, list(audit(connection, selected, sample=sample))


def verdict(outcomes: Sequence[Outcome], fail_on: Severity | None) -> str:
    """`incomplete`, else `findings` at or above `fail_on`, else `clean`."""
    if any(outcome.status == "incomplete" for outcome in outcomes):
        return "incomplete"
    failed = [o for o in outcomes if o.status == "fail"]
    if fail_on and any(o.check.severity.rank >= fail_on.rank for o in failed):
        return "findings"
    return "clean"


def document(
    run: Run, outcomes: Sequence[Outcome], fail_on: Severity | None = Severity.WARNING
) -> dict[str, Any]:
    """The document that `audit --format json` prints."""

    def counted(status: Status) -> int:
        return sum(outcome.status == status for outcome in outcomes)

    return {
        "schema_version": SCHEMA_VERSION,
        "run": {
            "id": run.id,
            "tool_version": __version__,
            "started_at": run.started_at,
            "finished_at": datetime.datetime.now(datetime.UTC),
            "database": run.database,
            "server_version": run.server_version,
            "revision": run.revision,
            "snapshot": run.snapshot,
        },
        "summary": {
            "status": verdict(outcomes, fail_on),
            "passed": counted("pass"),
            "failed": counted("fail"),
            "incomplete": counted("incomplete"),
            "skipped": counted("skipped"),
            "findings": sum(outcome.count for outcome in outcomes),
        },
        "checks": [
            {
                "check": outcome.check.name,
                "severity": outcome.check.severity,
                "status": outcome.status,
                "reason": outcome.reason,
                "strategy": "scan",
                "count": outcome.count,
                "count_is": "exact",
                "known": 0,
                "findings": [finding.__dict__ for finding in outcome.findings],
                "truncated": outcome.truncated,
                "elapsed_ms": outcome.elapsed_ms,
                "repair": outcome.check.repair is not None,
            }
            for outcome in outcomes
        ],
    }
