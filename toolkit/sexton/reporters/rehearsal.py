"""What `sexton rehearse` says."""

from collections.abc import Iterator

from sexton.rehearse.document import (
    Proofs,
    Rehearsal,
    RehearsalFinding,
    RehearsedRevision,
)
from sexton.text.durations import duration
from sexton.text.printable import printable

PROOFS = {
    "up_down_up": "up, down, up",
    "killed_and_resumed": "killed and resumed",
    "models_equal": "models equal",
    "data": "planted rows",
}


def text(document: Rehearsal) -> str:
    """The rehearsal for people."""
    lines = [f"base: {printable(document.base)}"]
    for one in document.revisions:
        lines += ["", *_revision(one)]
    if not document.revisions:
        lines.append("no new revisions")
    count = document.summary.findings
    said = {
        "clean": "clean: nothing dangerous was observed",
        "findings": f"{count} finding{'' if count == 1 else 's'}",
        "incomplete": "incomplete: not every revision was rehearsed",
    }
    return "\n".join([*lines, "", said[document.summary.status]])


def _revision(one: RehearsedRevision) -> Iterator[str]:
    yield f"{printable(one.revision)}  {printable(one.file)}"
    for statement in one.statements:
        yield f"  line {statement.line}: {printable(statement.sql)}"
        locks = [f"{lock.mode} on {printable(lock.table)}" for lock in statement.locks]
        parts = {
            "locks": locks,
            "rewrites": statement.rewritten,
            "scans": statement.scanned,
            "builds": statement.built,
        }
        for word, names in parts.items():
            if names:
                yield f"    {word} {', '.join(map(printable, names))}"
        if statement.estimate_ms is not None:
            yield f"    takes about {duration(statement.estimate_ms / 1000)}, by size"
        if statement.others_waited_ms is not None:
            yield f"    a writer waited {statement.others_waited_ms} ms, on planted rows"
    yield f"  {proofs(one.proofs)}"
    for finding in one.findings:
        yield from (f"  {line}" for line in _finding(finding))
    if one.problem:
        yield f"  incomplete: {printable(one.problem)}"


def proofs(found: Proofs) -> str:
    """The proofs on one line."""
    return "; ".join(f"{word}: {getattr(found, name)}" for name, word in PROOFS.items())


def _finding(one: RehearsalFinding) -> Iterator[str]:
    state = "accepted" if one.accepted else one.severity
    at = f"{printable(one.file)}:{one.line or 1}"
    yield f"{state} {one.code}: {at}: {printable(one.message)}"
    if one.accepted:
        until = f" (until {one.accepted.until})" if one.accepted.until else ""
        yield f"  because {printable(one.accepted.reason)}{until}"
    elif one.instead:
        yield f"  instead: {printable(one.instead.text)}"
