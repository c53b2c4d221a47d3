"""What is done on one target: an audit, an upgrade, or a look. Errors become records.

These functions run in threads, in spawned processes and on other machines' workers, so
they take and return plain values.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from psycopg import conninfo

from sexton import documents
from sexton.audit.outcome import FailOn
from sexton.errors import BUSY, NO_CONNECTION, REFUSED, SextonError
from sexton.fleet.addresses import address
from sexton.fleet.inventory import Target
from sexton.fleet.state import Record
from sexton.project import current, use

REASONS = 3  # of a target's incomplete checks; the checks in the document have all
STATUSES = {REFUSED: "refused", BUSY: "busy", NO_CONNECTION: "unreachable"}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How to do it; times in seconds."""

    checks: tuple[str, ...] = ()
    fail_on: FailOn = "warning"
    sample: int = 5
    deadline: float = 600.0
    statement_timeout: float = 60.0
    revision: str = "head"
    max_stall: float = 1.0
    trust_owner: tuple[str, ...] = ()


def perform(kind: str, wanted: Wanted, target: Target) -> Record:
    """Do the work on a target, and return its record: at least `status` and `code`.

    `status` is clean, findings, incomplete, applied, refused, busy or unreachable.
    """
    import psycopg

    from sexton.server_errors import to_sexton_error
    from sexton.text.redaction import redact

    begun = time.monotonic()
    try:
        used = current()
        if not used.trust_owner.issuperset(wanted.trust_owner):  # in another process
            use(replace(used, trust_owner=used.trust_owner | set(wanted.trust_owner)))
        record = WORK[kind](where(target), wanted)
    except (SextonError, psycopg.Error) as error:
        found = to_sexton_error(error) if isinstance(error, psycopg.Error) else error
        record = {
            "status": STATUSES.get(found.code, "incomplete"),
            "code": found.code,
            "reason": redact(found.message),
            "hint": redact(_for_target(found.hint or "")) or None,
        }
    took = round(time.monotonic() - begun, 3)
    return {**record, "at": documents.now().isoformat(), "elapsed_s": took}


def _for_target(hint: str) -> str:
    """A hint as it applies to a target, whose address stands in the inventory."""
    return re.sub(r"--url( \(or DATABASE_URL\))?", "the target's address", hint)


def where(target: Target) -> str:
    """The target's connection string, with its schema first on the search path."""
    found = address(target)
    if not target.schema:
        return found
    options = conninfo.conninfo_to_dict(found).get("options") or ""
    schema = '"' + target.schema.replace('"', '""') + '"'
    path = f"{schema},public".replace("\\", "\\\\").replace(" ", "\\ ")
    return conninfo.make_conninfo(found, options=f"{options} -c search_path={path}".strip())


def _audit(where: str, wanted: Wanted) -> Record:
    from sexton.audit.auditor import run_checks
    from sexton.audit.outcome import Options
    from sexton.audit.report import Report
    from sexton.audit.selection import select_checks
    from sexton.database import database
    from sexton.postgres.connect import another

    selected = select_checks(wanted.checks)
    options = Options(
        sample=wanted.sample,
        deadline=wanted.deadline,
        statement_timeout=wanted.statement_timeout,
    )
    with database(where, name="sexton fleet audit", read_only=True) as connection:
        run, outcomes = run_checks(
            connection,
            selected,
            options,
            connect=lambda: another(connection, read_only=True),
        )
    report = Report(run, outcomes, wanted.fail_on)
    document = report.document()
    shown = [c for c in document["checks"] if c["status"] in ("fail", "incomplete")]
    return {
        "status": document["summary"]["status"],
        "code": report.code,
        "reason": _reasons(shown),
        "database": document["run"]["database"],
        "revision": document["run"]["revision"],
        "findings": document["summary"]["findings"],
        "checks": shown,
    }


def _reasons(checks: Sequence[dict[str, Any]]) -> str | None:
    """Why checks are incomplete, each reason once; None if none is."""
    found: dict[str, list[str]] = {}
    for check in checks:
        if check["status"] == "incomplete":
            found.setdefault(check["reason"] or "", []).append(check["check"])
    said = [f"{', '.join(names)}: {reason}" for reason, names in found.items()]
    more = f"; and {len(said) - REASONS:,} more reasons" if len(said) > REASONS else ""
    return "; ".join(said[:REASONS]) + more or None


def _status(where: str, _: Wanted) -> Record:
    from sexton.database import database, snapshot
    from sexton.errors import DONE, FINDINGS
    from sexton.upgrade.standing import standing

    with (
        database(where, name="sexton fleet status", read_only=True) as connection,
        snapshot(connection),
    ):
        found = standing(connection)
        name = connection.info.dbname
    return {
        "status": "findings" if found["drift"] else "clean",
        "code": FINDINGS if found["drift"] else DONE,
        "reason": "; ".join(found["drift"]) or None,
        "database": name,
        **found,
    }


def _upgrade(where: str, wanted: Wanted) -> Record:
    from sexton.database import database
    from sexton.ddl.options import Options
    from sexton.errors import DONE
    from sexton.upgrade.run import upgrade
    from sexton.upgrade.standing import revision_and_head

    options = Options(max_stall=wanted.max_stall, deadline=wanted.deadline)
    with database(where, name="sexton fleet upgrade") as connection:
        before, _ = revision_and_head(connection)
        applied = upgrade(connection, wanted.revision, options)
        after, _ = revision_and_head(connection)
        name = connection.info.dbname
    return {
        "status": "applied" if applied else "clean",
        "code": DONE,
        "reason": None,
        "database": name,
        "from": before,
        "revision": after,
        "applied": applied,
    }


WORK: dict[str, Callable[[str, Wanted], Record]] = {
    "audit": _audit,
    "status": _status,
    "upgrade": _upgrade,
}
