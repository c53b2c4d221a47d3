"""Keys of a database, and how a project file writes them."""

import contextlib

from sexton.database import connect
from sexton.drafts.keys import Key, keys, spell_columns, tables, written
from tests.support.drafts import SCHEMA


def test_keys_are_told_with_what_the_database_makes_of_them(database):
    with contextlib.closing(connect(database("empty"), name="tests")) as connection:
        connection.execute(SCHEMA)
        found = {
            (key.child[1], key.columns, key.parent[0]): key for key in keys(connection)
        }
        ids = tables(connection)
    valid = found["child", ("parent_id",), "public"]
    assert (valid.enforced, valid.state) == (True, "")
    second = found["child", ("twice",), "Other One"]
    assert not second.enforced
    assert second.state.startswith("second is NOT VALID")
    assert found["child", ("a", "b c"), "public"].keys == ("a", "b c")
    assert ids["public", "keyed"] == ("a",)
    assert ids["public", "bare"] == ()


def test_two_spellings_of_one_key_are_one():
    one = Key(("s", "t"), ("a", "b"), ("s", "u"), ("c", "d"))
    other = Key(("s", "t"), ("b", "a"), ("s", "u"), ("d", "c"), "declared", enforced=False)
    assert one.pairs == other.pairs
    assert one.pairs != Key(("s", "t"), ("a", "b"), ("s", "u"), ("d", "c")).pairs


def test_a_schema_is_written_where_the_path_leads_elsewhere():
    ids = {("a", "t"): (), ("b", "t"): ()}
    assert written(("a", "t"), ids, ["a", "b"]) == ["t"]
    assert written(("b", "t"), ids, ["a", "b"]) == ["b", "t"]
    assert written(("a", "t"), ids, []) == ["a", "t"]
    assert spell_columns(["shop", "order lines"], ["x.y"]) == 'shop.order lines."x.y"'
    assert spell_columns(["t"], ["a", 'b"c']) == 't(a, "b""c")'
