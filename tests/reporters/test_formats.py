"""One audit in every format, from a report made by hand: no database is needed."""

import datetime
import io
import json
import sys
from dataclasses import replace

import junitparser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sexton.audit.outcome import Finding, Outcome, Run
from sexton.audit.report import Report
from sexton.audit.since import Change
from sexton.check import Severity
from sexton.project import all_checks
from sexton.reporters import formats
from sexton.reporters.formats import junit, prometheus, sarif, text

CHECKS = all_checks()
THEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
END = THEN + datetime.timedelta(seconds=2)
RUN = Run(
    *("run-1", THEN, "d", "18.6", "0004", "7:7:", END),
    host="db1",
    port=5432,
    role="ops",
    project="chat",
)
FOUND = Finding("chats", {"id": "c-1"}, "chat <c-1> & more", {}, "0" * 32)
SPITE = "\x1b]0;forged\x07\x1b[2J\nok  all_checks\u202e\x00"


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
    return replace(report, outcomes=[*report.outcomes, broken])


@pytest.fixture
def information():
    info = outcome("provider_stub", "fail", count=1, findings=[FOUND])
    return Report(RUN, [info, outcome("default_missing", "pass")])


@pytest.fixture
def changed(report):
    old = replace(FOUND, fingerprint="1" * 32)
    first = replace(report.outcomes[0], findings=[FOUND, old], count=2, known=0)
    seen = {
        FOUND.fingerprint: "2026-01-02T03:04:05Z",
        old.fingerprint: "2025-12-24T00:00:00Z",
    }
    return replace(
        report,
        outcomes=[first, *report.outcomes[1:]],
        since="yesterday.json",
        changes={
            "chat_without_model": Change(1, 1, 3, seen),
            "default_missing": Change(0, 0, 0, {}),
        },
    )


# -- the registry ----------------------------------------------------------------------


def test_a_format_is_a_file():
    promised = {"html", "json", "junit", "prometheus", "sarif", "text"}
    assert promised <= set(formats.names())
    assert formats.by_ending(".xml") == "junit"
    assert formats.by_ending(".pdf") is None
    assert len(set(formats.endings())) == len(formats.endings())


CHECKS_ALONE = '''"""The checks that found something, a line each."""

from sexton.reporters.formats import Format


def render(report, before):
    return "".join(f"{o.check.name}\\n" for o in report.outcomes if o.count)


FORMAT = Format(render, endings=(".checks",))
'''


def test_a_file_is_all_that_a_new_format_needs(report, tmp_path, monkeypatch):
    (tmp_path / "checks_alone.py").write_text(CHECKS_ALONE)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    formats.names.cache_clear()
    try:
        assert "checks_alone" in formats.names()
        assert formats.by_ending(".checks") == "checks_alone"
        found = formats.named("checks_alone").render(report, "")
    finally:
        formats.names.cache_clear()
        sys.modules.pop(f"{formats.__name__}.checks_alone", None)
    assert found == "chat_without_model\n"


@pytest.mark.parametrize("name", formats.names())
def test_every_format_takes_every_report(name, report, incomplete, information, changed):
    for each in (report, incomplete, information, changed):
        assert formats.named(name).render(each, "")


@pytest.mark.parametrize("name", formats.names())
def test_spite_reaches_no_terminal_and_breaks_no_document(name, report):
    bad = Finding("chats", {"id": SPITE}, f"chat {SPITE}", {}, "0" * 32)
    spiteful = replace(
        report,
        run=replace(RUN, database=SPITE, host=SPITE, label=SPITE),
        outcomes=[
            replace(report.outcomes[0], findings=[bad]),
            outcome("default_disabled", "incomplete", reason=SPITE, scope=SPITE),
        ],
    )
    said = formats.named(name).render(spiteful, "")
    assert "\x1b" not in said
    if name != "prometheus":  # whose labels escape what they must
        assert "\nok  all" not in said
    if name == "junit":
        junitparser.JUnitXml.fromstring(said.encode())
    said.encode()


# -- text ------------------------------------------------------------------------------


def test_text_says_the_worst_last(incomplete):
    lines = text.audit(incomplete).splitlines()
    assert lines == [
        "d at db1:5432 as ops, 2026-01-02 03:04:05 UTC, snapshot 7:7:",
        "skipped     override_dangling (there is no table)",
        f"FAIL        {'chat_without_model':<33}8 findings, 7 new; chats, scan, 1.5 ms",
        "            chat <c-1> & more [id=c-1]",
        "            … and 6 more (--sample N shows more)",
        "            to repair: sexton repair chat_without_model",
        f"INCOMPLETE  {'default_disabled':<33}permission denied; chats, scan, 1.5 ms",
        "4 checks: 1 pass, 1 fail (chat_without_model), 1 incomplete (default_disabled), "
        "1 skipped. Exit 3.",
    ]


def test_a_sound_database_is_said_in_two_lines():
    clean = Report(RUN, [outcome(name, "pass") for name in list(CHECKS)[:5]])
    assert len(text.audit(clean).splitlines()) == 2
    assert text.audit(clean, text.View(quiet=True)) == ""
    verbose = text.audit(clean, text.View(verbose=True)).splitlines()
    assert [line[:2] for line in verbose[1:-1]] == ["ok"] * 5


def test_information_is_counted_apart(information):
    said = text.audit(information)
    assert said.splitlines()[-1] == "2 checks: 1 pass, 1 info (provider_stub). Exit 0."
    assert "info        provider_stub" in said


def test_quiet_says_what_is_wrong_and_no_more(incomplete):
    lines = text.audit(incomplete, text.View(quiet=True)).splitlines()
    assert [line.split()[0] for line in lines] == ["FAIL", "INCOMPLETE", "4"]


def test_findings_do_not_scroll_away():
    found = [replace(FOUND, key={"id": n}) for n in range(50)]
    many = [
        outcome(name, "fail", count=50, findings=found)
        for name in ("chat_without_model", "default_missing", "orphaned_default")
    ]
    lines = text.audit(Report(RUN, many), text.View(width=80, height=24)).splitlines()
    assert len(lines) < 24
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("d at db1")
    assert "default_missing" in lines[-1] + lines[-2]
    assert sum("more (--sample" in line for line in lines) == 3


@pytest.mark.parametrize(
    ("environment", "terminal", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour_is_for_terminals(monkeypatch, environment, terminal, coloured):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    assert text.View.of(stream).colour == coloured


def test_colour_marks_the_word_alone(report):
    said = text.audit(report, text.View(colour=True))
    assert "\x1b[31mFAIL\x1b[0m        chat_without_model" in said


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("chat_without_model", "to repair: sexton repair chat_without_model"),
        ("tombstone_unreferenced", "to decide: its repair loses "),
        (
            "override_dangling",
            "to repair what can be: sexton repair override_dangling; else: ",
        ),
        ("default_disabled", "to decide: "),
    ],
)
def test_it_says_what_a_repair_can_do(name, says):
    assert text.advice(CHECKS[name]).startswith(says)


def test_text_says_what_is_new(changed):
    said = text.audit(changed)
    assert "2 findings, 1 new since, 3 resolved" in said
    assert "chat <c-1> & more [id=c-1] NEW" in said
    assert "(since 2025-12-24)" in said
    assert "Since yesterday.json: 1 new, 1 persisting, 3 resolved." in said


# -- JUnit -----------------------------------------------------------------------------


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


# -- what is new -----------------------------------------------------------------------


def test_only_new_findings_fail_where_that_is_asked_for(changed):
    assert replace(changed, only_new=True).verdict == "findings"
    none = {"chat_without_model": Change(0, 2, 0, {})}
    assert replace(changed, only_new=True, changes=none).verdict == "clean"
    assert replace(changed, changes=none).verdict == "findings"
    inexact = {"chat_without_model": Change(0, 2, 0, {}, exact=False)}
    assert replace(changed, only_new=True, changes=inexact).verdict == "findings"


def test_sarif_says_what_is_new(changed):
    [run] = json.loads(sarif.render(changed))["runs"]
    assert [r["baselineState"] for r in run["results"]] == ["new", "unchanged"]


def test_prometheus_counts_what_became_of_findings(changed):
    found = samples(prometheus.render(changed))
    name = "chat_without_model"
    assert found["sexton_audit_changes", name, "resolved"] == 3
    assert found["sexton_audit_changes", name, "new"] == 1


# -- SARIF -----------------------------------------------------------------------------


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
    found = invocation(incomplete)
    assert not found["executionSuccessful"]
    assert found["exitCode"] == 3
    assert [n["level"] for n in found["toolExecutionNotifications"]] == ["note", "error"]


# -- Prometheus ------------------------------------------------------------------------


def samples(said):
    """The values by name and labels, those of the place apart."""
    return {
        (
            sample.name,
            *sorted(v for k, v in sample.labels.items() if k not in PLACE),
        ): sample.value
        for family in text_string_to_metric_families(said)
        for sample in family.samples
    }


PLACE = ("database", "host", "label")


def test_prometheus_says_which_database(report):
    families = text_string_to_metric_families(
        prometheus.render(replace(report, run=replace(RUN, label="eu")))
    )
    for sample in (sample for family in families for sample in family.samples):
        assert {name: sample.labels[name] for name in PLACE} == {
            "database": "d",
            "host": "db1:5432",
            "label": "eu",
        }


def test_prometheus_takes_no_other_databases_success(incomplete, report):
    other = prometheus.render(replace(report, run=replace(RUN, database="other")))
    found = samples(prometheus.render(incomplete, other))
    assert ("sexton_audit_last_success_timestamp_seconds",) not in found


def test_prometheus_counts_findings_by_state(report):
    found = samples(prometheus.render(report))
    name = "chat_without_model"
    assert found["sexton_audit_findings", name, "error", "new"] == 7
    assert found["sexton_audit_findings", name, "error", "known"] == 1
    assert found["sexton_audit_check_status", name, "fail"] == 1
    assert found["sexton_audit_check_status", name, "pass"] == 0
    assert found["sexton_audit_check_duration_seconds", name] == 0.0015
    assert ("sexton_audit_findings", "override_dangling", "new", "warning") not in found


def test_prometheus_keeps_the_time_of_the_last_success(report, incomplete):
    success = ("sexton_audit_last_success_timestamp_seconds",)
    good = prometheus.render(report)
    assert samples(good)[success] == END.timestamp()
    later = Report(
        Run(*("run-2", THEN, "d", "18.6", None, ""), THEN + datetime.timedelta(days=1)),
        incomplete.outcomes,
    )
    found = samples(prometheus.render(later, good))
    assert found[success] == END.timestamp()
    assert found[("sexton_audit_last_run_timestamp_seconds",)] > found[success]
    assert found[("sexton_audit_incomplete",)] == 1


@pytest.mark.parametrize("before", ["", "junk {", "sexton_audit_findings 1\n"])
def test_prometheus_makes_up_no_success(incomplete, before):
    assert ("sexton_audit_last_success_timestamp_seconds",) not in samples(
        prometheus.render(incomplete, before)
    )
