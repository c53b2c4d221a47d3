"""A scan that an index turns into a look-up is one, where that is less work."""

import pytest

from sexton.audit.auditor import run_checks
from sexton.audit.units import examine
from sexton.database import connect, snapshot
from tests.support import giants
from tests.support.giants import CHECKS, LATE, by_check


@pytest.fixture
def giant(database, monkeypatch):
    giants.call_small_large(monkeypatch)
    with connect(database("empty"), name="tests") as connection:
        giants.make(connection)
        yield connection


def look(connection, *checks):
    _, outcomes = run_checks(connection, checks, giants.options())
    return {outcome.check.name: outcome for outcome in outcomes}


def strategy(connection):
    return look(connection, *CHECKS)["child_after_death"].strategy


def bury_all_but_one(connection):
    connection.execute("update parent set dead_since = null where id <> 10")
    connection.execute("analyze parent")


def test_few_dead_parents_are_asked_and_not_all_children(giant):
    bury_all_but_one(giant)
    before = look(giant, *CHECKS)
    assert before["child_after_death"].strategy == "shared scan"
    giant.execute("create index on child (parent_id, at)")
    giant.execute("vacuum analyze child")
    giant.execute("set random_page_cost = 1.1")  # in so small a table, as in a large one
    after = look(giant, *CHECKS)
    assert after["child_after_death"].strategy == "look-up"
    assert after["child_flagged"].strategy in ("scan", "shared scan")
    assert by_check(list(after.values())) == by_check(list(before.values()))


def test_where_most_parents_are_dead_the_scan_is_shared_all_the_same(giant):
    giant.execute("update parent set dead_since = '2025-01-01'")
    giant.execute("create index on child (parent_id)")
    giant.execute("analyze")
    assert strategy(giant) == "shared scan"


def test_the_index_is_advised_where_it_is_missing(giant):
    with snapshot(giant):
        advice = examine(giant, LATE)["advice"]
    assert advice == "create index concurrently on child (parent_id)"
    giant.execute("create index on child (parent_id)")
    with snapshot(giant):
        assert examine(giant, LATE)["advice"] is None
