"""Tables, cells and counts as a person reads them."""

from sexton.reporters.text import cell, count, status, table

STATUS = {
    **{"revision": "0001", "head": "0002", "drift": ["t: gone"], "providers": 1234},
    **{"live": 2, "tombstones": 1, "chats_on_tombstones": 1},
    "default": {"id": "x", "provider": "openai", "model": "m", "usable": False},
}


def test_columns_are_as_wide_as_they_need_to_be():
    rows = [{"a": "long one", "b": None}, {"a": True, "b": 1234}]
    assert table(rows, ("a", "b")).splitlines() == [
        "a         b",
        "long one  -",
        "yes       1234",
    ]
    assert table([], ("a", "b")) == "a  b"


def test_a_value_keeps_to_its_cell():
    assert [cell(v) for v in ("", False, "a\tb", 0)] == ["-", "no", "a\\tb", "0"]


def test_a_number_has_its_noun():
    assert count(1, "chat") == "1 chat"
    assert count(2345, "chat") == "2,345 chats"
    assert count(0, "of the chats", "of the chats") == "0 of the chats"


def test_the_status_says_what_is_behind_and_what_cannot_be_used():
    lines = status(STATUS).splitlines()
    assert lines[0] == "revision    0001 (head is 0002, sexton upgrade)"
    assert "drift       t: gone" in lines
    assert "tombstones  1 models, under 1 chat" in lines
    assert lines[-1] == "default     m of openai (x), NOT USABLE"
    unknown = status({**STATUS, "revision": None, "default": None}).splitlines()
    assert unknown[0].endswith("not recorded yet, sexton adopt recognises it)")
    assert unknown[-1] == "default     none"
