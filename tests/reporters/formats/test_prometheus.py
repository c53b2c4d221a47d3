"""Prometheus: counts, states and the last success."""

import datetime
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sexton.audit.outcome import Run
from sexton.audit.report import Report
from sexton.reporters.formats import prometheus
from tests.support.reports import END, RUN, THEN


def test_prometheus_counts_what_became_of_findings(changed):
    found = samples(prometheus.render(changed))
    name = "chat_without_model"
    assert found["sexton_audit_changes", name, "resolved"] == 3
    assert found["sexton_audit_changes", name, "new"] == 1


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
    assert found["sexton_audit_findings", name, "error", "open"] == 7
    assert found["sexton_audit_findings", name, "error", "known"] == 1
    assert found["sexton_audit_check_status", name, "fail"] == 1
    assert found["sexton_audit_check_status", name, "pass"] == 0
    assert found["sexton_audit_check_duration_seconds", name] == 0.0015
    assert ("sexton_audit_findings", "override_dangling", "open", "warning") not in found


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
