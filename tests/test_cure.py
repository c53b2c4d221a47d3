"""A repair as a person reads it."""

from sexton.cure import Delete, Insert, Rewrite, Update, describe


def test_each_kind_is_told_near_to_sql():
    update = Update(
        set={"a": "null", "b": " now() "}, why="", where="this.a > 1", joins="j"
    )
    assert describe("t", update) == (
        "update t this\nset a = null,\n    b = now()\nfor each row found\nj\n"
        "where this.a > 1"
    )
    assert (
        describe("t", Delete(why="", table="u")) == "delete from u this\nfor each row found"
    )
    insert = Insert("u", {"id": "found.id"}, why="")
    assert describe("t", insert) == "insert into u\n    id = found.id\nfor each row found"
    assert describe("t", Rewrite(("a", "b"), dict)) == (
        "update t: a, b, as the check's code says"
    )
