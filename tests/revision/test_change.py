"""A change by one operation has its reverse."""

from sexton.online.column_operations import SetNotNullOnline
from sexton.revision.change import change


def test_down_is_the_reverse_of_up():
    one = change("w", SetNotNullOnline("t", "c", schema="s"), "note")
    [up], [down] = one.up, one.down
    assert (one.what, one.note) == ("w", "note")
    assert up.to_diff_tuple() == ("set_not_null_online", "t", "c")
    assert down.to_diff_tuple() == ("drop_not_null_online", "t", "c")
    assert down.options == {"schema": "s"}
