"""A condition is one, closed in itself, and keeps to its row."""

import pytest

from sexton.condition import beyond, closed


@pytest.mark.parametrize("text", ["not deleted", '"Paid"', "a = ')'", "a = $x$ ; $x$ -- ("])
def test_one_condition_closed_in_itself_is_taken(text):
    closed(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a) or (b", "a; drop table t", "a = 'b", "/* a", "-- a"),
        # What the server reads otherwise than it seems.
        *("a$b$ or exists (select from t) or a$b$", r'U&"pg_sl\0065ep"(9) is null'),
    ],
)
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ValueError, match="is no SQL condition"):
        closed(text)


def test_what_only_reads_its_row_does_not_go_beyond_it(connection):
    assert beyond(connection, "not deleted and lower(state) <> 'paid'") is None
    assert beyond(connection, "exists (select from chats)")
    assert beyond(connection, "not deleted --\r or exists (select from chats)")
