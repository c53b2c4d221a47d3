"""JUnit: a case for each check."""

from dataclasses import replace

import junitparser
import pytest

from sexton.audit.since import Change
from sexton.reporters.formats import junit


def test_junit_has_a_case_for_each_check(incomplete):
    [suite] = junitparser.JUnitXml.fromstring(junit.render(incomplete).encode())
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4, 1, 1, 1)
    cases = {case.name: case for case in suite}
    [failure] = cases["chat_without_model"].result
    assert failure.message == "8 findings, 1 known"
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
    verdict = {"status": "incomplete", "fail_on": "warning", "exit_code": "3"}
    assert said == {**where, "snapshot": "7:7:", "run": "run-1", **verdict}


@pytest.mark.parametrize("threshold", ["info", "warning", "error", "new", "never"])
def test_junit_fails_whatever_the_threshold(information, threshold):
    strict = replace(information, fail_on=threshold)
    [suite] = junitparser.JUnitXml.fromstring(junit.render(strict).encode())
    assert suite.failures == 1
    [case] = [case for case in suite if case.name == "provider_stub"]
    assert case.result[0].type == "info"


def test_only_new_findings_fail_if_that_is_asked_for(changed):
    new = replace(changed, fail_on="new")
    assert (new.status, new.code) == ("findings", 1)
    none = {"chat_without_model": Change(0, 2, 0, {})}
    persisting = replace(new, changes=none)
    assert (persisting.status, persisting.code) == ("findings", 0)
    assert replace(changed, changes=none).code == 1
    inexact = {"chat_without_model": Change(0, 2, 0, {}, exact=False)}
    assert replace(new, changes=inexact).code == 1
