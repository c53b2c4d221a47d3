"""Runs are opened and closed in the transaction of what they change."""

import pytest

from sexton import journal
from sexton.errors import NotFound


def begun(connection, **more):
    with connection.transaction():
        return journal.begin_run(connection, "repair", **more)


def test_a_run_knows_who_what_and_with_which_options(connection):
    number = begun(connection, actor="ann", plan="p", options={"max_rows": 1}, lost=["x"])
    found = journal.get_run(connection, number)
    assert (found["actor"], found["kind"], found["plan"]) == ("ann", "repair", "p")
    assert (found["options"], found["lost"]) == ({"max_rows": 1}, ["x"])
    assert (found["finished"], found["undone_by"], found["rows"]) == (True, None, 0)
    nobody = journal.get_run(connection, begun(connection))
    assert nobody["actor"] == nobody["os_user"]


def test_a_run_in_several_transactions_is_closed_by_the_last(connection):
    number = begun(connection, finished=False)
    assert not journal.get_run(connection, number)["finished"]
    with connection.transaction():
        journal.add_loss(connection, number, "a key")
        journal.finish_run(connection, number)
    found = journal.get_run(connection, number)
    assert (found["finished"], found["lost"]) == (True, ["a key"])


def test_what_was_undone_says_by_which_run(connection):
    first, second = begun(connection), begun(connection)
    with connection.transaction():
        journal.mark_undone(connection, first, second)
    assert journal.get_run(connection, first)["undone_by"] == second


def test_what_is_rolled_back_was_never_begun(connection):
    with connection.transaction(force_rollback=True):
        number = journal.begin_run(connection, "repair")
    with pytest.raises(NotFound):
        journal.get_run(connection, number)
