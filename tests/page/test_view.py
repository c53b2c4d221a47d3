"""What the page shows of documents: the worst first, and no more than they say."""

import pytest

from sexton.page.view import ROWS, Explained, sections
from tests.support.documents import audited, check


def only(*documents, explained=None):
    [section] = sections(documents, explained or {})
    return section


def test_the_newest_run_is_shown_and_the_one_before_tells_what_is_new():
    before = audited(1, check("default_missing", 1, 2))
    section = only(audited(2, check("default_missing", 2, 3)), before)
    [wrong] = section.wrong
    assert wrong.news == "1 new, 1 resolved"
    assert [(row.where, row.news) for row in wrong.rows] == [
        ("t id=2", ""),
        ("t id=3", "new"),
    ]
    assert wrong.resolved == ["t id=1"]
    assert section.news.startswith("New since ")
    assert len(section.bars) == 2


def test_one_run_alone_makes_no_trend_and_no_news():
    section = only(audited(1, check("a", 1), check("b")))
    assert (section.bars, section.news, section.passed) == ([], "", ["b"])
    assert section.wrong[0].rows[0].news == ""


def test_a_long_list_is_cut_and_the_rest_is_counted():
    section = only(audited(1, check("a", *range(1, ROWS + 8))))
    assert len(section.wrong[0].rows) == ROWS
    assert section.wrong[0].hidden == "and 7 more"


def test_what_to_type_and_what_a_check_says_stand_beside_it():
    explained = {"a": Explained("It is so.\n\nBecause.", "  select 1")}
    [wrong] = only(audited(1, check("a", 1)), explained=explained).wrong
    assert wrong.commands == ["sexton explain a", "sexton repair a --out plan.json"]
    assert (wrong.explanation, wrong.sql) == (["It is so.", "Because."], "select 1")
    [other] = only(audited(1, check("b", 1, repair=False))).wrong
    assert (other.commands, other.sql) == (["sexton explain b"], "")


def test_databases_are_apart_and_the_worst_is_first():
    found = sections(
        [
            audited(1, check("a"), database="clean"),
            audited(1, check("a", 1), database="wrong"),
            audited(1, check("a", status="incomplete"), database="dark"),
        ],
        {},
    )
    assert [section.title for section in found] == ["dark", "wrong", "clean"]


def test_a_severity_that_is_none_is_no_document():
    with pytest.raises(KeyError):
        only(audited(1, check("a", 1, severity="<b>")))
