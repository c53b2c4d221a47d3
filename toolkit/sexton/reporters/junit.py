"""Audits as JUnit XML: a test case for each check."""

from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from sexton.audit.outcome import Outcome
from sexton.audit.report import Report
from sexton.reporters.text import headline


def render(report: Report) -> str:
    """A failing check is a failure, an incomplete one an error, whatever `fail_on`."""
    suite: Any = TestSuite("sexton audit")
    suite.timestamp = report.run.started_at.isoformat()
    suite.add_property("database", report.run.database)
    suite.add_property("snapshot", report.run.snapshot)
    suite.add_property("run", report.run.id)
    for outcome in report.outcomes:
        suite.add_testcase(_case(outcome))
    document: Any = JUnitXml("sexton")
    document.add_testsuite(suite)
    document.update_statistics()
    text: bytes = document.tostring()
    return text.decode()


def _case(outcome: Outcome) -> Any:
    case: Any = TestCase(
        outcome.check.name,
        classname=f"sexton.{outcome.check.severity}",
        time=outcome.elapsed_ms / 1000,
    )
    result: Any = None
    if outcome.status == "incomplete":
        result = Error(outcome.reason or "", type_="incomplete")
    elif outcome.status == "skipped":
        result = Skipped(outcome.reason or "")
    elif outcome.status == "fail":
        result = Failure(headline(outcome), type_=outcome.check.severity.value)
        result.text = "\n".join(finding.message for finding in outcome.findings)
    if result is not None:
        case.result = [result]
    return case
