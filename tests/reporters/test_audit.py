"""One audit in five formats, from a report made by hand: no database is needed."""

import datetime
import json

import junitparser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sexton.audit.outcome import Finding, Outcome, Run
from sexton.audit.report import Report
from sexton.project import all_checks
from sexton.reporters import junit, prometheus, sarif, text

CHECKS = all_checks()
THEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
END = THEN + datetime.timedelta(seconds=2)
RUN = Run("run-1", THEN, "d", "18.6", "0004", "7:7:", END)
FOUND = Finding("chats", {"id": "c-1"}, "chat <c-1> & more", {}, "0" * 32)


def outcome(name, status, **more):
    values = {"strategy": "scan", "scope": "chats", "elapsed_ms": 1.5, **more}
    return Outcome(CHECKS[name], status, **values)


@pytest.fixture
def report():
    return Report(
        RUN,
        [
            outcome("chat_without_model", "fail", count=8, known=1, findings=[FOUND]),
            outcome("default_missing", "pass"),
            outcome("override_dangling", "skipped", reason="there is no table"),
        ],
    )


@pytest.fixture
def incomplete(report):
    broken = outcome("default_disabled", "incomplete", reason="permission denied")
    return Report(RUN, [*report.outcomes, broken])


def test_text_says_the_worst_first(incomplete):
    lines = text.audit(incomplete).splitlines()
    assert lines[0].startswith("INCOMPLETE  default_disabled")
    assert lines[1].startswith("FAIL        chat_without_model")
    assert "8 findings, 7 new; chats, scan, 1.5 ms" in lines[1]
    assert lines[2].strip() == "chat <c-1> & more [id=c-1]"
    assert lines[3].strip() == "… and 6 more (--sample N shows more)"
    assert lines[-1] == (
        "4 checks: 1 pass, 1 fail, 1 incomplete, 1 skipped. Snapshot 7:7:. Exit 3."
    )


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


def test_sarif_declares_all_rules_even_clean_ones(report):
    document = json.loads(sarif.render(report))
    assert document["version"] == "2.1.0"
    [run] = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [o.check.name for o in report.outcomes]
    [result] = run["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "chat_without_model"
    assert result["level"] == "error"
    assert result["partialFingerprints"] == {"sextonFinding/v1": "0" * 32}
    [location] = result["locations"]
    uri = location["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "checks/chat_without_model.py"
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "chats(id=c-1)"


def test_sarif_says_what_was_not_looked_at(report, incomplete):
    def invocation(of):
        [only] = json.loads(sarif.render(of))["runs"][0]["invocations"]
        return only

    assert invocation(report)["executionSuccessful"]
    told = invocation(incomplete)
    assert not told["executionSuccessful"]
    assert told["exitCode"] == 3
    assert [n["level"] for n in told["toolExecutionNotifications"]] == ["note", "error"]


def samples(said):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(said)
        for sample in family.samples
    }


def test_prometheus_counts_findings_by_state(report):
    told = samples(prometheus.render(report))
    name = "chat_without_model"
    assert told["sexton_audit_findings", name, "error", "new"] == 7
    assert told["sexton_audit_findings", name, "error", "known"] == 1
    assert told["sexton_audit_check_status", name, "fail"] == 1
    assert told["sexton_audit_check_status", name, "pass"] == 0
    assert told["sexton_audit_check_duration_seconds", name] == 0.0015
    assert ("sexton_audit_findings", "override_dangling", "new", "warning") not in told


def test_prometheus_keeps_the_time_of_the_last_success(report, incomplete):
    success = ("sexton_audit_last_success_timestamp_seconds",)
    good = prometheus.render(report)
    assert samples(good)[success] == END.timestamp()
    later = Report(
        Run(*("run-2", THEN, "d", "18.6", None, ""), THEN + datetime.timedelta(days=1)),
        incomplete.outcomes,
    )
    told = samples(prometheus.render(later, good))
    assert told[success] == END.timestamp()
    assert told[("sexton_audit_last_run_timestamp_seconds",)] > told[success]
    assert told[("sexton_audit_incomplete",)] == 1


@pytest.mark.parametrize("before", ["", "junk {", "sexton_audit_findings 1\n"])
def test_prometheus_makes_up_no_success(incomplete, before):
    assert ("sexton_audit_last_success_timestamp_seconds",) not in samples(
        prometheus.render(incomplete, before)
    )
