"""Changes that journal themselves: what the journal then holds, and for whom."""

import pytest

from sexton.database import scalar
from sexton.journal.recorder import Recorder, deleting, inserting, updating
from tests.support.journals import journalled


def test_an_insert_has_no_before_and_numbers_go_on(recorded):
    recorder, table = recorded
    recorder.make(deleting(table, "this.id = 1", why="gone"))
    change = inserting(
        table, ["id"], "values (7), (8)", why="new", returning={"id": "this.id"}
    )
    made = recorder.make(change)
    assert sorted(row["id"] for row in made) == [7, 8]
    steps = [(c["step"], c["before"] is None) for c in journalled(recorder.connection)]
    assert steps == [(1, False), (2, True), (3, True)]


def both(table, first):
    """Row 1 loses its key, if it is the one that is meant; then row 2 goes."""
    shown = {"id": "this.id", "done": "this.api_key = ''"}
    keyless = updating(
        table, {"api_key": "''"}, "this.id = %(first)s", why="keyless",
        parameters={"first": first}, returning=shown,
    )  # fmt: skip
    gone = deleting(table, "this.id = 2", why="gone", returning=shown)
    return [(keyless, 1), (gone, 1)]


def made_of(recorder, changes):
    statement = recorder.compose([change for change, _ in changes])
    return recorder.send(statement, changes).rows


def test_changes_of_one_statement_are_journalled_in_their_order(recorded):
    recorder, table = recorded
    made = made_of(recorder, both(table, 1))
    assert made == [[{"id": 1, "done": True}], [{"id": 2, "done": True}]]
    assert [
        (c["step"], c["key"]["id"], c["why"]) for c in journalled(recorder.connection)
    ] == [
        (1, 1, "keyless"),
        (2, 2, "gone"),
    ]


def test_a_change_waits_for_those_before_it(recorded):
    """None that follows one that did not end as it should is made."""
    recorder, table = recorded
    assert made_of(recorder, both(table, 3)) == [[], []]
    assert journalled(recorder.connection) == []
    assert scalar(recorder.connection, "select count(*) from odd") == 2


def test_changes_of_one_statement_share_no_parameter_by_mistake(recorded):
    recorder, table = recorded
    changes = [
        deleting(table, "this.id = %(id)s", why="", parameters={"id": id}) for id in (1, 2)
    ]
    with pytest.raises(ValueError, match="a parameter id"):
        made_of(recorder, [(change, 1) for change in changes])


def test_without_a_journal_nothing_is_recorded(recorded):
    recorder, table = recorded
    silent = Recorder(recorder.connection, None)
    assert len(silent.make(deleting(table, "this.id = 1", why=""))) == 1
    assert journalled(recorder.connection) == []


def test_values_may_follow_and_what_is_around_is_told(recorded):
    recorder, table = recorded
    change = deleting(
        table,
        "this.id = %(id)s",
        why="",
        parameters={"id": None},
        returning={"id": "this.id"},
    )
    statement = recorder.compose([change], "select 40 + 2")
    [own] = statement.changes
    made = recorder.send(statement, [(own.given("asked for", id=2), 1)])
    assert (made.rows, made.around) == ([[{"id": 2}]], 42)
    assert [c["why"] for c in journalled(recorder.connection)] == ["asked for"]
