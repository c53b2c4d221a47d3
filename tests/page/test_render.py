"""The page: what it says, what it escapes, and that it needs nobody."""

import base64
import hashlib
import html
import re

import pytest

from sexton.page import render
from tests.support.documents import audited, check, finding
from tests.support.project import HEAD

HOSTILE = "</script><script>alert(1)</script>\x1b[2J\u202e"


def words(page):
    """The page as it is read without style, script and pictures."""
    body = page.partition("<body>")[2]
    body = re.sub(r"<(script|style|svg).*?</\1>", " ", body, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_what_is_wrong_and_new_comes_before_what_passed():
    before = audited(1, check("default_missing"), check("model_duplicated", 1))
    now = audited(2, check("default_missing", 7), check("model_duplicated", 1))
    said = words(render([now, before]))
    assert "chat: something is wrong" in said
    assert "New since 2026-01-01 03:00 UTC: default_missing." in said
    assert said.index("default_missing : 1 finding 1 new") < said.index(
        "model_duplicated :"
    )
    assert "There are live model configs, yet none of them is the default." in said
    assert "sexton repair default_missing --out plan.json" in said


def test_what_was_cured_is_said():
    before = audited(1, check("model_duplicated", 1, 2))
    said = words(render([before, audited(2, check("model_duplicated", 1))]))
    assert "1 resolved" in said
    assert "Resolved: 1 t id=2" in said
    assert "Nothing is new" not in words(render([before]))


def test_a_cut_list_is_no_proof_of_what_is_new():
    before = audited(1, check("c", 1, truncated=True, count=900))
    said = words(render([before, audited(2, check("c", 2, truncated=True, count=901))]))
    assert "1 new, 1 resolved among those listed" in said
    assert "and 900 more" in said


def test_what_was_not_looked_at_is_not_called_clean():
    lost = check("default_missing", status="incomplete", reason="stopped after 60 s")
    said = words(render([audited(1, lost)]))
    assert "Not everything was looked at" in said
    assert "What could not be looked at" in said
    assert "stopped after 60 s" in said


def test_each_database_has_its_section_and_the_worst_is_first():
    page = render(
        [
            audited(1, check("c"), database="a"),
            audited(1, check("c", 1), database="b"),
            audited(1, check("c", status="incomplete", reason="r"), database="c"),
        ]
    )
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["c", "b", "a"]


def test_the_trend_is_a_picture_and_a_table():
    runs = [audited(day, check("c", *range(day))) for day in range(1, 6)]
    page = render(runs)
    assert page.count("<rect") == 5
    assert "Findings of the last 5 runs of chat" in page
    assert "2026-01-05 03:00 UTC findings 5" in words(page)


def test_nothing_of_the_data_becomes_markup():
    bad = check(HOSTILE, reason=HOSTILE, findings=[finding(1, HOSTILE)], count=1)
    bad |= {"status": "fail"}
    page = render([audited(1, bad, database=HOSTILE)])
    assert "alert(1)</script>" not in page
    assert page.count("<script>") == 1
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_the_page_needs_no_network_and_its_policy_allows_itself_alone():
    page = render([audited(1, check("c", 1))])
    policy = html.unescape(re.search(r'Security-Policy" content="(.*?)"', page)[1])
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r'(src|href)="', page)
    assert not re.search(r' (style|on\w+)="', page), "the policy would not let it"


def test_a_fleet_is_shown_the_worst_first():
    fleet = {
        "schema_version": 1,
        "fleet": {"kind": "audit", "started_at": "now", "shard": "1/2"},
        "summary": {
            "targets": 2,
            **dict.fromkeys(["incomplete", "refused", "busy", "findings", "applied"], 0),
            "unreachable": 1,
            "clean": 1,
            "versions": {HEAD: 1, "none": 1},
            "code": 3,
        },
        "targets": [
            {"target": "gone", "status": "unreachable", "reason": "refused", "code": 4},
            {"target": "fine", "status": "clean", "reason": None, "code": 0},
        ],
    }
    said = words(render([fleet]))
    assert "Fleet: 2 databases" in said
    assert "1 unreachable, 1 clean" in said
    assert "only a part shard 1/2" in said
    assert said.index("gone") < said.index("fine")


@pytest.mark.parametrize("document", [{}, {"run": {}}, {"fleet": {}}, []])
def test_what_is_no_document_is_a_value_error(document):
    with pytest.raises(ValueError, match="lacks"):
        render([document])
