"""Audits as JUnit XML: a test case for each check."""

import re
from typing import TYPE_CHECKING, Any

from sexton.reporters.formats import Format
from sexton.text.printable import printable

if TYPE_CHECKING:
    from sexton.audit.outcome import Outcome
    from sexton.audit.report import Report

# XML 1.0 has no place for these, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: "Report", _: str = "") -> str:
    """A check with findings is a failure, whatever `fail_on` says; incomplete is an error.

    The properties say what the audit found and what its exit code was.
    """
    from junitparser import JUnitXml, TestSuite

    suite: Any = TestSuite("sexton audit")
    suite.timestamp = report.run.started_at.isoformat()
    run = report.run
    for name, value in (
        *(("database", run.database), ("host", run.host), ("role", run.role)),
        *(("label", run.label), ("snapshot", run.snapshot), ("run", run.id)),
        *(("status", report.status), ("fail_on", report.fail_on)),
        ("exit_code", str(report.code)),
    ):
        if value:
            suite.add_property(name, _clean(value))
    for outcome in report.outcomes:
        suite.add_testcase(_case(report, outcome))
    document: Any = JUnitXml("sexton")
    document.add_testsuite(suite)
    document.update_statistics()
    text: bytes = document.tostring()
    return text.decode()


def _case(report: "Report", outcome: "Outcome") -> Any:
    from junitparser import Error, Failure, Skipped, TestCase

    from sexton.reporters.formats.text import headline

    case: Any = TestCase(
        outcome.check.name,
        classname=f"sexton.{outcome.check.severity}",
        time=outcome.elapsed_ms / 1000,
    )
    said = headline(outcome, report.changes.get(outcome.check.name))
    rows = "\n".join(_clean(finding.message) for finding in outcome.findings)
    result: Any = None
    if outcome.status == "incomplete":
        result = Error(_clean(outcome.reason or ""), type_="incomplete")
    elif outcome.status == "skipped":
        result = Skipped(_clean(outcome.reason or ""))
    elif outcome.status == "fail":
        result = Failure(said, type_=outcome.check.severity.value)
        result.text = rows
    if result is not None:
        case.result = [result]
    return case


def _clean(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", printable(text))


FORMAT = Format(render, (".xml",))
