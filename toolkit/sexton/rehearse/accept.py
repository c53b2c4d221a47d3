"""Accepted findings: `# sexton: accept CODE because REASON until DATE` in a revision."""

import datetime
import re
from pathlib import Path

from sexton.rehearse.document import Acceptance, RehearsalFinding
from sexton.rehearse.rules import ONLINE

_COMMENT = re.compile(
    r"#\s*sexton:\s*accept\s+(?P<code>[a-z-]+)"
    r"(?:\s+because\s+(?P<reason>.*?))?(?:\s+until\s+(?P<until>\d{4}-\d{2}-\d{2}))?\s*$"
)
EXPIRED = "acceptance-expired"
UNREASONED = "acceptance-without-reason"
ANYWHERE = (
    *("no-way-down", "way-down-differs", "way-down-loses-data", "not-resumable"),
    *("models-differ", "several-heads", "changed-after-release"),
)


def accept(
    findings: list[RehearsalFinding], file: str, today: datetime.date
) -> list[RehearsalFinding]:
    """Mark what a revision's comments accept; return the findings about the comments.

    A comment counts for its own line and the statement after it; for a finding about the
    revision as a whole, anywhere in the file.
    """
    more = []
    lines = Path(file).read_text(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if not (said := _COMMENT.search(line)):
            continue
        if not (said["reason"] or "").strip():
            message = f"the acceptance of {said['code']} gives no reason, so it is ignored"
            more.append(_about(UNREASONED, file, number, message))
            continue
        matching = [
            one
            for one in findings
            if one.code == said["code"] and one.file == file and _near(one, number, lines)
        ]
        until = said["until"]
        try:
            expired = bool(until) and datetime.date.fromisoformat(until) < today
        except ValueError:
            message = f"{until} is no date, so the acceptance of {said['code']} is ignored"
            more.append(_about(UNREASONED, file, number, message))
            continue
        if expired:
            message = f"the acceptance of {said['code']} ended on {until}"
            more += [_about(EXPIRED, file, number, message)] if matching else []
            continue
        for one in matching:
            one.accepted = Acceptance(said["reason"].strip(), until)
    return more


def _about(code: str, file: str, line: int, message: str) -> RehearsalFinding:
    assert code not in ONLINE
    return RehearsalFinding(
        code=code, severity="warning", file=file, line=line, message=message
    )


def _near(one: RehearsalFinding, number: int, lines: list[str]) -> bool:
    if one.line is None or one.code in ANYWHERE:
        return True
    if one.line == number:
        return True
    # The lines between the comment and the statement are comments, or the statement's.
    between = lines[number : one.line - 1]
    return number < one.line and all(
        not text.strip() or text.lstrip().startswith("#") for text in between
    )
