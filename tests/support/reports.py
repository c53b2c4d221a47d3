"""Outcomes made by hand."""

import datetime

from sexton.audit.outcome import Finding, Outcome, Run
from sexton.project import all_checks
from tests.support.project import HEAD

CHECKS = all_checks()


THEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


END = THEN + datetime.timedelta(seconds=2)


RUN = Run(
    *("run-1", THEN, "d", "18.6", HEAD, "7:7:", END),
    host="db1",
    port=5432,
    role="ops",
    project="chat",
)


FOUND = Finding("chats", {"id": "c-1"}, "chat <c-1> & more", {}, "0" * 32)


def outcome(name, status, **more):
    values = {"strategy": "scan", "scope": "chats", "elapsed_ms": 1.5, **more}
    return Outcome(CHECKS[name], status, **values)
