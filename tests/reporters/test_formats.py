"""One audit in every format, from a report made by hand: no database is needed."""

import sys
from dataclasses import replace

import junitparser
import pytest

from sexton.audit.outcome import Finding
from sexton.reporters import formats
from tests.support.reports import RUN, outcome

SPITE = "\x1b]0;forged\x07\x1b[2J\nok  all_checks\u202e\x00"


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
