"""The text for people: the worst last, and nothing that scrolls away."""

import io
from dataclasses import replace

import pytest

from sexton.audit.report import Report
from sexton.reporters.formats import text
from tests.support.reports import CHECKS, FOUND, RUN, outcome


def test_text_says_the_worst_last(incomplete):
    lines = text.audit(incomplete).splitlines()
    assert lines == [
        "d at db1:5432 as ops, 2026-01-02 03:04:05 UTC",
        "skipped     override_dangling (there is no table)",
        f"FAIL        {'chat_without_model':<33}8 findings, 1 known; chats, scan, 1.5 ms",
        "            chat <c-1> & more [id=c-1]",
        "            … and 6 more (--sample N shows more)",
        "            to repair: sexton repair chat_without_model",
        f"INCOMPLETE  {'default_disabled':<33}permission denied; chats, scan, 1.5 ms",
        "4 checks: 1 pass, 1 fail (chat_without_model), 1 incomplete (default_disabled), "
        "1 skipped. Exit 3.",
    ]


def test_an_error_comes_after_what_weighs_less():
    names = ("chat_without_model", "provider_stub", "default_disabled")
    found = [outcome(name, "fail", count=1, findings=[FOUND]) for name in names]
    said = [line.split()[0] for line in text.audit(Report(RUN, found)).splitlines()]
    assert [word for word in said if word in text.COLOURS] == ["info", "warning", "FAIL"]


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
            "to repair: sexton repair override_dangling; for what it leaves: ",
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
