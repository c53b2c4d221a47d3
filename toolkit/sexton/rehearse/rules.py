"""What an observed statement would do to production, as findings."""

import re
from collections.abc import Collection, Iterator, Mapping

from sexton.errors import was_interrupted
from sexton.online.team_code import said, without_values
from sexton.rehearse.document import Instead, RehearsalFinding, SeverityWord
from sexton.rehearse.observe import BLOCKING, Watched, spelled

DATA = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY")
BACKFILL = ("UPDATE", "DELETE", "MERGE")
_ALTERED = re.compile(
    r'\s*alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?("?[\w.]+"?(?:\."?\w+"?)?)',
    re.IGNORECASE,
)
ONLINE = {
    "blocking-index-build": "op.create_index_online, or CREATE INDEX CONCURRENTLY in an "
    "autocommit_block; for a constraint, ADD CONSTRAINT ... USING INDEX after that",
    "table-rewrite": "add a new column, backfill it in batches, and switch the application "
    "over before the old column is dropped",
    "scan-under-lock": "add the constraint as NOT VALID, and VALIDATE it in a transaction "
    "of its own; op.create_foreign_key_online and op.set_not_null_online do both",
    "long-lock": "give the longer statement a revision of its own, before this one",
    "mixed-backfill": "change the rows in batches, in a revision of its own",
    "rename": "add the new name beside the old one, and drop the old one when no running "
    "application uses it",
    "not-null-fails-on-data": "fill the column in an earlier revision, then "
    "op.set_not_null_online",
    "constraint-fails-on-data": "correct the rows in an earlier revision; for a foreign "
    "key op.create_foreign_key_online does it: orphans='null' or 'delete'",
    "concurrently-in-transaction": "op.create_index_online, or put the statement into "
    "`with op.get_context().autocommit_block():`",
    "drop-of-used-column": "release an application that does not use it first, and drop it "
    "in a later revision",
    "enum-value-in-same-transaction": "add the value in a revision of its own, or in an "
    "autocommit_block",
}


def finding(
    code: str, severity: SeverityWord, statement: Watched, message: str
) -> RehearsalFinding:
    """A finding about a statement."""
    online = ONLINE.get(code)
    return RehearsalFinding(
        code=code,
        severity=severity,
        file=statement.file,
        line=statement.line,
        message=message,
        instead=Instead(text=online) if online else None,
    )


def judge(statement: Watched) -> list[RehearsalFinding]:
    """What is dangerous in a statement."""
    found = []
    data = statement.tag in DATA
    built = {table for _, table in statement.built} - set(statement.rewritten)
    blocked = {t: m for t, m in statement.held.items() if m in BLOCKING}
    held_before = {t: m for t, m in statement.before.items() if m in BLOCKING}
    for table in sorted(set(statement.rewritten) & blocked.keys()):
        message = f"it rewrites {table} under {spelled(blocked[table])}"
        found.append(finding("table-rewrite", "error", statement, message))
    for table in sorted(built & blocked.keys()):
        names = ", ".join(sorted(i for i, t in statement.built if t == table))
        message = f"it builds {names} on {table} under {spelled(blocked[table])}"
        found.append(finding("blocking-index-build", "error", statement, message))
    scanned = set(statement.scanned) - set(statement.rewritten) - built
    if not data and not _of_new_table(statement):
        for table in sorted(scanned & blocked.keys()):
            message = f"it reads all of {table} under {spelled(blocked[table])}"
            found.append(finding("scan-under-lock", "error", statement, message))
    if statement.tag in BACKFILL and held_before:
        message = (
            f"it changes rows while {_held(held_before)} from earlier statements of the "
            "same transaction"
        )
        found.append(finding("mixed-backfill", "error", statement, message))
    work = set(statement.rewritten) | built | (set() if data else scanned)
    others = {t: m for t, m in held_before.items() if t not in work}
    if work and others:
        message = (
            f"{_held(others)} until it has read all of {', '.join(sorted(work))}, as "
            "both are in one transaction"
        )
        found.append(finding("long-lock", "error", statement, message))
    for before, after in statement.renamed:
        message = f"{before} becomes {after}, and the running application uses {before}"
        found.append(finding("rename", "error", statement, message))
    return found


def drops_of_used(
    statement: Watched, used: Mapping[str, Collection[str]]
) -> Iterator[RehearsalFinding]:
    """What a statement drops of tables and columns that models use."""
    for name in statement.dropped:
        table, _, column = name.rpartition(".")
        if name in used or column in used.get(table, ()):
            message = f"it drops {name}, which the models of the base still use"
            yield finding("drop-of-used-column", "error", statement, message)


def _held(locks: dict[str, str]) -> str:
    parts = [f"{spelled(mode)} on {table}" for table, mode in sorted(locks.items())]
    return f"{' and '.join(parts)} {'is' if len(parts) == 1 else 'are'} held"


def _of_new_table(statement: Watched) -> bool:
    """Whether it alters a table that the revision has made: its key's parent is read."""
    named = _ALTERED.match(statement.sql)
    if not named:
        return False
    name = named[1].replace('"', "").removeprefix("public.")
    return name not in statement.held


def of_error(statement: Watched) -> RehearsalFinding | None:
    """The finding that a server's refusal is; None if it is the team's own slip."""
    error = statement.error
    if error is None or was_interrupted(error):
        return None
    state = error.sqlstate or ""
    sql = without_values(statement.sql)
    if state == "25001":
        message = f"it cannot run in the revision's transaction: {said(error)}"
        return finding("concurrently-in-transaction", "error", statement, message)
    if state == "55P04":
        message = f"a value of an enum is used in the transaction that adds it: {sql}"
        return finding("enum-value-in-same-transaction", "error", statement, message)
    if state == "23502":
        message = f"rows make it fail: {said(error)}"
        return finding("not-null-fails-on-data", "error", statement, message)
    if state[:2] in ("22", "23"):
        message = f"rows make it fail: {said(error)}"
        return finding("constraint-fails-on-data", "error", statement, message)
    return None
