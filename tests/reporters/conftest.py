"""Reports made by hand: no database is needed."""

from dataclasses import replace

import pytest

from sexton.audit.report import Report
from sexton.audit.since import Change
from tests.support.reports import FOUND, RUN, outcome


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
