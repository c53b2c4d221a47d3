"""JUnit: a case for each check."""

from dataclasses import replace

import junitparser

from sexton.audit.since import Change
from sexton.check import Severity
from sexton.reporters.formats import junit


def test_junit_has_a_case_for_each_check(incomplete):
    [suite] = junitparser.JUnitXml.fromstring(junit.render(incomplete).encode())
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4, 1, 1, 1)
    cases = {case.name: case for case in suite}
    [failure] = cases["chat_without_model"].result
    assert failure.message == "8 findings, 7 new"
    assert failure.text == "chat <c-1> & more"
    [error] = cases["default_disabled"].result
    assert isinstance(error, junitparser.Error)
    assert error.message == "permission denied"
    assert cases["default_missing"].result == []
    assert cases["default_missing"].time == 0.0015


def test_junit_says_which_database(incomplete):
    [suite] = junitparser.JUnitXml.fromstring(junit.render(incomplete).encode())
    said = {entry.name: entry.value for entry in suite.properties()}
    where = {"database": "d", "host": "db1", "role": "ops"}
    assert said == {**where, "snapshot": "7:7:", "run": "run-1"}


def test_junit_fails_by_the_threshold_alone(information, report):
    [suite] = junitparser.JUnitXml.fromstring(junit.render(information).encode())
    assert suite.failures == 0
    [case] = [case for case in suite if case.name == "provider_stub"]
    assert "1 finding, below --fail-on" in case.system_out
    for strict in (
        replace(information, fail_on=Severity.INFO),
        replace(report, fail_on=Severity.ERROR),
    ):
        [suite] = junitparser.JUnitXml.fromstring(junit.render(strict).encode())
        assert suite.failures == 1


def test_only_new_findings_fail_where_that_is_asked_for(changed):
    assert replace(changed, only_new=True).verdict == "findings"
    none = {"chat_without_model": Change(0, 2, 0, {})}
    assert replace(changed, only_new=True, changes=none).verdict == "clean"
    assert replace(changed, changes=none).verdict == "findings"
    inexact = {"chat_without_model": Change(0, 2, 0, {}, exact=False)}
    assert replace(changed, only_new=True, changes=inexact).verdict == "findings"
