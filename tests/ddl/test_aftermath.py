"""Rows that a step changes are so in the end, or the step was not done."""

import psycopg
import pytest

from sexton import journal
from sexton.database import rows, scalar
from sexton.ddl.execution import run
from sexton.ddl.options import Options
from sexton.errors import Refused
from tests.support.meddling import AFTER_ROW, AT_COMMIT, EVERY, RAISE, meddle, unmeddle

TABLES = """
    create table parts (id int primary key, kind text, note text);
    insert into parts values (1, 'a', ''), (2, 'b', '')
"""
UPDATE = {"update": "parts", "set": {"kind": "'z'"}, "where": "this.kind = 'a'"}
INSERT = {"insert": "parts", "columns": ["id", "kind"], "source": "values (3, 'c')"}
DELETE = {"delete": "parts", "where": "this.kind = 'b'"}
BACK = {
    "update": "update parts set kind = 'a' where kind = 'z'",
    "insert": "delete from parts where id = 3",
    "delete": "insert into parts values (2, 'b', '')",
}


@pytest.fixture
def parts(empty):
    empty.execute(TABLES)
    return empty


def step(*changes, **more):
    return {
        "title": "tidy up",
        "lock": "share row exclusive",
        "tables": ["parts"],
        "sql": list(changes),
        **more,
    }


def state(connection):
    return rows(connection, "select * from parts order by id")


@pytest.mark.parametrize("when", EVERY)
@pytest.mark.parametrize("change", [UPDATE, INSERT, DELETE], ids=lambda c: next(iter(c)))
def test_a_change_that_is_taken_back_is_refused(parts, change, when):
    kind = next(iter(change))
    meddle(parts, "parts", BACK[kind], when=when, events=kind)
    before = state(parts)
    columns = {"update": " in kind"}.get(kind, "")
    said = f"the trigger again on parts changed again what was written{columns}: parts id="
    with pytest.raises(Refused, match=said) as error:
        run(parts, [step(change)])
    assert error.value.__notes__ == ['the step "tidy up" was not done']
    assert state(parts) == before
    assert journal.list_runs(parts) == []


@pytest.mark.parametrize("outside", [False, True])
def test_a_trigger_that_raises_at_commit_undoes_the_whole_step(parts, outside):
    meddle(parts, "parts", RAISE, when=AT_COMMIT)
    before = state(parts)
    with pytest.raises(psycopg.errors.RaiseException, match="not on my watch"):
        run(parts, [step(UPDATE, outside_transaction=outside, done="select false")])
    assert state(parts) == before
    assert journal.list_runs(parts) == []


def test_rows_and_a_change_of_the_table_fit_in_one_step(parts):
    """The server refuses to alter a table for which a trigger waits."""
    meddle(parts, "parts", "null", when=AT_COMMIT)
    run(parts, [step(UPDATE, "alter table parts drop column note")])
    assert [row["kind"] for row in state(parts)] == ["z", "b"]


@pytest.mark.parametrize("when", [AFTER_ROW, AT_COMMIT])
def test_what_else_a_trigger_changed_is_an_entry_of_its_own(parts, when):
    meddle(parts, "parts", "update parts set note = 'seen' where note = ''", when=when)
    run(parts, [step(UPDATE)])
    [made, again] = journal.list_changes(parts, 1)
    assert (made["after"]["kind"], made["after"]["note"]) == ("z", "")
    assert again["before"] == made["after"]
    assert again["after"] == {"id": 1, "kind": "z", "note": "seen"}
    assert again["key"] == made["key"] == {"id": 1}
    assert again["why"] == "the trigger again on parts changed it again"
    assert state(parts)[0] == again["after"]


def test_without_the_journal_it_is_seen_as_well(parts):
    parts.execute(
        """
        create role parts_stranger;
        create schema sexton authorization parts_stranger;
        """
    )
    try:
        meddle(parts, "parts", BACK["update"], when=AT_COMMIT)
        said: list[str] = []
        with pytest.raises(Refused, match="the trigger again on parts changed again"):
            run(parts, [step(UPDATE)], Options(say=said.append))
        assert "are not in the journal" in said[0]
        unmeddle(parts)
        run(parts, [step(UPDATE)], Options(say=said.append))
        assert state(parts)[0]["kind"] == "z"
    finally:
        parts.execute("drop schema sexton; drop role parts_stranger")


def test_where_rows_cannot_be_told_apart_that_is_said(parts):
    parts.execute("alter table parts drop constraint parts_pkey")
    meddle(parts, "parts", "null")
    said: list[str] = []
    run(parts, [step(UPDATE)], Options(say=said.append))
    assert (
        'the rows of the step "tidy up" are not looked at again, and the trigger again on '
        "parts may have changed them: parts has no primary key"
    ) in said
    assert scalar(parts, "select count(*) from parts where kind = 'z'") == 1
