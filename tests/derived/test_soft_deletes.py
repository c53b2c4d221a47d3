"""The marks of a soft delete agree, and can be true."""

import contextlib

import pytest

from sexton.database import connect
from sexton.derived.soft_deletes import checks
from sexton.reference import Declarations, SoftDelete
from tests.support.audits import run

ROWS = """
    create table t (id int primary key, "d d" boolean, at timestamptz);
    insert into t values
        (1, false, null), (2, true, '2026-01-01'), (3, true, null),
        (4, false, '2026-01-01'), (5, null, null), (6, true, '1969-07-20'),
        (7, true, now() + interval '2 days');
"""


@pytest.fixture
def marked(database):
    with contextlib.closing(connect(database("empty"), name="tests")) as connection:
        connection.execute(ROWS)
        yield connection


def keys(connection, **marks):
    soft = SoftDelete(table="t", **marks)
    made = list(checks(Declarations(soft_delete=(soft,)), "own", soft))
    outcomes = run(connection, *made, sample=9)
    return {name: [f.key["id"] for f in o.findings] for name, o in outcomes.items()}


def test_marks_that_disagree_and_times_that_cannot_be_are_found(marked):
    assert keys(marked, deleted="d d", deleted_at="at") == {
        "t_half_deleted": [3, 4, 5],
        "t_deleted_at_implausible": [6, 7],
    }


def test_of_one_mark_alone_null_is_neither(marked):
    assert keys(marked, deleted="d d") == {"t_half_deleted": [5]}
    assert keys(marked, deleted_at="at", name="mine") == {
        "mine_deleted_at_implausible": [6, 7]
    }
