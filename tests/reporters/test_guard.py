"""The guards' documents as text."""

from sexton.reporters import guard as reporter

SET = {
    **{"guard": "set", "constraint": "sexton_guard", "child": "a.b", "parent": "c.d"},
    "parts": [{"part": "column live", "there": True}, {"part": "x\x1b", "there": False}],
    "detached": [],
}


def test_each_guard_has_its_state_and_its_parts():
    assert reporter.status({"guards": [SET]}).splitlines() == [
        "guard of a.b -> c.d: set, CONSTRAINT sexton_guard is valid",
        "  there    column live",
        "  missing  x\\x1b",
    ]
    none = {**SET, "guard": "none", "constraint": None}
    assert reporter.status({"guards": [none]}) == (
        "guard of a.b -> c.d: there is none; sexton guard add sets one"
    )
    left = {**SET, "parts": [], "detached": ["a 24.b"]}
    assert reporter.status({"guards": [left]}).splitlines()[1] == (
        "  a 24.b was detached and keeps the key and the CHECK, without the trigger; "
        "next: sexton guard remove 'a 24.b'"
    )
    assert "declares no guard" in reporter.status({"guards": []})


def test_what_was_done_comes_before_where_that_leaves_them():
    said = reporter.made({"made": ["add the column"], "guards": [SET]}).splitlines()
    assert said[0] == "done: add the column"
    assert len(said) == 2
    assert reporter.made({"made": [], "guards": []}) == "nothing to do"
