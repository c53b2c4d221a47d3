"""Plans, runs and undos as text: what is the same is said once, names cannot lie."""

import datetime

from sexton.repair.apply import ApplyResult
from sexton.repair.plan import Action, Limit, Plan, Skip
from sexton.repair.reversal import UndoResult
from sexton.reporters import repairs

NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


def plan(*actions, **more):
    return Plan("p", {}, None, NOW, NOW, actions=list(actions), **more)


def update(id, why="it is wrong", check="a_check"):
    return Action(check, "t", {"id": id}, {"a": [None, "x\n"], "updated_at": [1, 2]}, why)


def test_rows_that_change_alike_stand_under_one_head():
    assert repairs.plan(plan(update(1), update(2), update(3, "other"))).splitlines() == [
        "a_check: 3 rows to change",
        *("a_check: t", "    a: null -> x\\n", "    because it is wrong"),
        *("    id=1", "    id=2"),
        *("a_check: t", "    a: null -> x\\n", "    because other", "    id=3"),
    ]


def test_a_long_plan_is_cut_and_says_by_how_much(monkeypatch):
    monkeypatch.setattr(repairs, "SHOWN", 2)
    lines = repairs.plan(plan(*map(update, range(5)), update(9, "other"))).splitlines()
    assert "    … and 3 more rows of this kind" in lines
    assert lines[-1].startswith("… and ")


def test_what_to_type_next_depends_on_the_limits():
    assert repairs.planned(plan(), None) == "nothing to repair"
    skip = Skip("a_check", {"id": 1}, "a person must")
    said = repairs.planned(plan(skipped=[skip]), None)
    assert said.startswith("a_check: id=1: not repaired; a person must")
    assert "person's decision" in said
    assert "sexton apply my plan" in repairs.planned(plan(update(1)), "my plan")
    assert "with --apply" in repairs.planned(plan(update(1)), None)
    limit = Limit("rows", "too many", "--max-rows 9", lifted=False)
    refused = repairs.planned(plan(update(1), limits=[limit]), None)
    assert "safety limit: too many; refused" in refused
    assert "with --apply" not in refused


def test_what_was_made_says_how_it_is_undone():
    assert repairs.applied(ApplyResult("p", None, 0), []) == "nothing to repair"
    assert repairs.applied(ApplyResult("p", 7, 1, left={"a": 2}), []).splitlines() == [
        "1 row changed in run 7; to undo it: sexton undo 7",
        "a: 2 findings left",
    ]
    again = repairs.applied(ApplyResult("p", 7, 3, already=True), [])
    assert (
        again == "this plan was applied before, in run 7 (3 rows), and is not applied again"
    )
    resumed = repairs.applied(ApplyResult("p", 7, 3, resumed=2), [])
    assert "2 of them before it was interrupted" in resumed


def test_what_an_undo_leaves_is_listed():
    left = [{"table": "t", "key": {"id": 1}, "reason": "moved\x1b"}]
    assert repairs.undone(UndoResult(1, 2, 5, left, ["a key"])).splitlines() == [
        "left alone: t id=1: moved\\x1b",
        "not restored: a key",
        "5 rows of run 1 restored in run 2; to undo that: sexton undo 2",
    ]


def test_a_run_that_was_interrupted_says_what_can_be_done():
    found = {
        **{"run": 3, "kind": "repair", "at": NOW, "actor": "a\n", "role": "r"},
        **{"os_user": "u", "plan": "p", "options": {"allow": ["x", "y"], "max": 0}},
        **{"undone_by": None, "finished": False, "lost": ["a key"], "rows": 1},
    }
    change = {"check": "c", "table": "t", "key": {"id": 1}, "why": None}
    change |= {"before": {"a": 1, "b": 2}, "after": {"a": 1, "b": {"x": True}}}
    lines = repairs.run(found, [change]).splitlines()
    assert lines[:4] == [
        "run 3: repair, interrupted, 2026-01-02 00:00:00 UTC",
        "by a\\n (role r, system user u)",
        "plan p",
        "with allow=x,y",
    ]
    assert "sexton undo 3" in lines[4]
    assert lines[-2:] == ["c: t id=1", '    b: 2 -> {"x":true}']
    assert "repair (interrupted)" in repairs.runs([found])
