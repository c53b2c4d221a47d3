"""What `sexton rehearse` says, in each of its formats."""

import hashlib
import re
from collections.abc import Callable, Iterator

from sexton.check import Severity
from sexton.rehearse.document import (
    Proofs,
    Rehearsal,
    RehearsalFinding,
    RehearsedRevision,
)
from sexton.reporters import json
from sexton.reporters.formats import sarif as sarif_
from sexton.text.durations import duration
from sexton.text.printable import printable

PAGE = "docs/rehearse.md"
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
        lines += ["", *lines_of(one)]
    if not document.revisions:
        lines.append("no new revisions")
    return "\n".join([*lines, "", _verdict(document)])


def _verdict(document: Rehearsal) -> str:
    said = {
        "clean": "clean: nothing dangerous was observed",
        "findings": _count(document.summary.findings, "finding"),
        "incomplete": "incomplete: not every revision was rehearsed",
    }
    return said[document.summary.status]


def markdown(document: Rehearsal) -> str:
    """The rehearsal for a comment on a pull request, or a summary of a job."""
    lines = [f"### Rehearsal of {_count(len(document.revisions), 'new revision')}", ""]
    lines.append(f"{_verdict(document)} (compared with {_code(document.base)})")
    for one in document.revisions:
        lines += ["", f"#### {_code(one.revision)} in {_code(one.file)}", ""]
        lines += [f"incomplete: {_escaped(one.problem)}", ""] if one.problem else []
        if one.findings:
            lines += ["| | finding | line | |", "|---|---|---|---|"]
        for found in one.findings:
            state = "accepted" if found.accepted else found.severity
            why = found.accepted and f"\nbecause {found.accepted.reason}"
            said = _escaped(f"{found.message}{why or _instead(found)}")
            lines.append(f"| {state} | `{found.code}` | {found.line or ''} | {said} |")
        for found in one.findings:
            if found.instead and found.instead.diff and not found.accepted:
                lines += ["", "````diff", found.instead.diff.rstrip(), "````"]
        lines += ["", f"{proofs(one.proofs)}."]
    return "\n".join(lines)


def github(document: Rehearsal) -> str:
    """The findings as GitHub Actions' workflow commands, which annotate the lines."""
    levels = {"error": "error", "warning": "warning", "info": "notice"}
    lines = []
    for one in document.revisions:
        if one.problem:
            lines.append(f"::error file={_value(one.file)}::{_data(one.problem)}")
        for found in one.findings:
            if found.accepted:
                continue
            at = f"file={_value(found.file)},line={found.line or 1}"
            said = _data(f"{found.message}{_instead(found)}")
            title = f"title=sexton: {found.code}"
            lines.append(f"::{levels[found.severity]} {at},{title}::{said}")
    return "\n".join(lines)


def sarif(document: Rehearsal) -> str:
    """The findings as SARIF 2.1.0, with file and line."""
    found = [one for each in document.revisions for one in each.findings]
    codes = sorted({one.code for one in found})
    results = []
    for one in found:
        same = f"{one.code} {one.file} {one.message}"
        accepted = one.accepted and {
            "kind": "inSource",
            "justification": one.accepted.reason,
        }
        results.append(
            {
                "ruleId": one.code,
                "ruleIndex": codes.index(one.code),
                "level": sarif_.LEVELS[Severity(one.severity)],
                "message": {"text": f"{one.message}{_instead(one)}"},
                "locations": [sarif_.location(one.file, one.line or 1)],
                "partialFingerprints": {
                    "sextonFinding/v1": hashlib.sha256(same.encode()).hexdigest()
                },
                "suppressions": [accepted] if accepted else [],
            }
        )
    notes = [
        {"level": "error", "message": {"text": f"{one.revision}: {one.problem}"}}
        for one in document.revisions
        if one.problem
    ]
    return sarif_.document(
        [{"id": code, "helpUri": f"{PAGE}#{code}"} for code in codes],
        results,
        {
            "executionSuccessful": document.summary.status != "incomplete",
            "exitCode": document.summary.exit_code,
            "toolExecutionNotifications": notes,
        },
        "sexton/rehearse/",
    )


def _instead(one: RehearsalFinding) -> str:
    return f"\ninstead: {one.instead.text}" if one.instead else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _escaped(words: str) -> str:
    """Words in a cell of a table, in which nothing is markup."""
    lines = map(printable, words.split("\n"))
    return re.sub(r"([\\`*_{}\[\]<>#|~@])", r"\\\1", "\n".join(lines)).replace("\n", "<br>")


def _code(words: str) -> str:
    return f"`{printable(words).replace('`', chr(39))}`"


def _data(words: str) -> str:
    """As @actions/core escapes a message."""
    return "%0A".join(printable(line).replace("%", "%25") for line in words.split("\n"))


def _value(words: str) -> str:
    """As @actions/core escapes a property."""
    return _data(words).replace(":", "%3A").replace(",", "%2C")


def lines_of(one: RehearsedRevision) -> Iterator[str]:
    """One revision for people."""
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
            strong = any(lock.mode == "ACCESS EXCLUSIVE" for lock in statement.locks)
            who = "readers and writers" if strong else "writers"
            yield f"    {who} waited {statement.others_waited_ms} ms, on planted rows"
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
        if one.instead.diff:
            yield "  --fix rewrites the operation in the revision"


FORMATS: dict[str, Callable[[Rehearsal], str]] = {
    "text": text,
    "json": json.render,
    "markdown": markdown,
    "github": github,
    "sarif": sarif,
}
