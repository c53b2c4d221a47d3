"""Checks as text: a list, and everything about one."""

from sexton.project import all_checks
from sexton.reporters import checks as reporter

FACTS = {"distinct": None, "children": 5e6, "parents": 20.0, "index": None}
LOOK = {
    **{"barred": None, "skipped": None, "scope": "chats, about 5,000,000 rows"},
    **{"facts": {**FACTS, "comparable": False}, "enforced_by": None},
    **{"strategy": "anti-join", "costs_ms": {"gap probing": 0.1, "anti-join": 1234.5}},
    **{"sql": "  select 1", "advice": "create index i on t (a)"},
}


def test_every_check_has_a_line():
    lines = reporter.checks(all_checks().values()).splitlines()
    assert len(lines) == len(all_checks()) + 1
    assert lines[0].split() == ["check", "severity", "what", "it", "finds"]


def test_everything_about_one_has_its_sql_and_its_repair():
    said = reporter.explanation(all_checks()["provider_stub"], "On this database: chats.")
    assert said.startswith("provider_stub [info]")
    order = ["On this database: chats.", "Finds its rows with:", "Plans its repair with:"]
    places = [said.index(part) for part in order]
    assert places == sorted(places)


def test_how_it_would_look_and_why_so():
    lines = reporter.choice(LOOK).splitlines()
    assert "  anti-join         about 1,234.5 ms <- chosen" in lines
    assert "  distinct   not known" in lines
    assert "  index      none that can be used" in lines
    assert "  the two columns differ in type or collation" in lines
    assert lines[-1] == "    create index i on t (a);"


def test_why_it_would_not_look():
    barred = reporter.choice({**LOOK, "barred": "permission denied\x07"})
    assert barred == "On this database it cannot look: permission denied\\x07."
    skipped = reporter.choice({**LOOK, "skipped": "there is no table chats"})
    assert skipped == "On this database it is skipped: there is no table chats."
