"""With a budget and a cursor a large scan goes on night after night, and says how far."""

import datetime
import json

import pytest

from sexton.audit import cursor as cursors
from sexton.audit import night
from sexton.audit.auditor import run_checks
from sexton.database import connect
from sexton.errors import Refused
from tests.support import giants
from tests.support.giants import CHECKS, FLAGGED, ORPHANS, by_check


@pytest.fixture
def giant(database, monkeypatch):
    giants.call_small_large(monkeypatch)
    monkeypatch.setattr("sexton.audit.ranges.PIECE_SECONDS", 1e-9)  # never grows
    url = database("empty")
    with connect(url, name="tests") as connection:
        giants.make(connection)
        yield connection, url


class Nights:
    """Runs of one audit after the other, each of a few pieces."""

    def __init__(self, connection, url, file, **more):
        self.connection, self.url, self.file, self.more = connection, url, file, more

    def __call__(self, *checks, pieces=5, max_age=None, **more):
        cursor = cursors.load(self.file, 3600, max_age)
        taken = 0

        def note(cut, own=cursor.note):
            nonlocal taken
            taken += 1
            own(cut)
            if taken >= pieces:
                cursor.budget = 0

        cursor.note = note
        _, outcomes = run_checks(
            self.connection,
            checks or CHECKS,
            giants.options(**self.more, **more),
            connect=lambda: connect(self.url, name="tests", read_only=True),
            cursor=cursor,
        )
        return {outcome.check.name: outcome for outcome in outcomes}


@pytest.fixture
def nights(giant, tmp_path):
    return Nights(*giant, tmp_path / "cursor.json")


def until_whole(nights, *checks, **more):
    for number in range(1, 60):
        found = nights(*checks, **more)
        if all(outcome.covered == 1.0 for outcome in found.values()):
            return number, found
    raise AssertionError("never whole")


@pytest.mark.parametrize("jobs", [1, 3])
def test_nights_find_together_what_one_run_finds(giant, nights, jobs):
    connection, _ = giant
    _, whole = run_checks(connection, CHECKS, giants.options())
    number, found = until_whole(nights, jobs=jobs)
    assert number > 2
    assert by_check(list(found.values())) == by_check(whole)
    assert all(outcome.count_is == "exact" for outcome in found.values())


def test_what_was_never_whole_is_incomplete_and_then_says_its_age(giant, nights):
    connection, _ = giant
    connection.execute("update child set flag = false")
    connection.execute("vacuum full child")
    first = nights(FLAGGED)["child_flagged"]
    assert first.status == "incomplete"
    assert 0 < first.covered < 1
    assert "no pass was ever whole" in first.reason
    until_whole(nights, FLAGGED)
    after = nights(FLAGGED)["child_flagged"]
    assert after.status == "pass"
    assert 0 < after.covered < 1, "the next pass has begun"
    assert (
        "of this pass, last full pass 0 ms ago" in after.reason or "s ago" in after.reason
    )
    assert after.last_full_pass is not None


def test_a_pass_that_is_too_old_is_incomplete(giant, nights):
    connection, _ = giant
    connection.execute("update child set flag = false")
    connection.execute("vacuum full child")
    until_whole(nights, FLAGGED)
    document = json.loads(nights.file.read_text())
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=9)
    document["scans"]["child"]["last_full_pass"] = long_ago.isoformat()
    nights.file.write_text(json.dumps(document))
    fine = nights(FLAGGED, max_age=10 * 86400)["child_flagged"]
    assert fine.status == "pass"
    assert "last full pass 9 days ago" in fine.reason
    old = nights(FLAGGED, max_age=7 * 86400)["child_flagged"]
    assert old.status == "incomplete"
    assert "longer than 7 days" in old.reason


def test_what_an_earlier_night_found_is_told_until_it_is_cured(giant, nights):
    connection, _ = giant
    first = nights(ORPHANS, pieces=6)["child_without_parent"]
    assert (first.status, first.count_is) == ("fail", "at_least")
    [found] = [f.key["id"] for f in first.findings]
    second = nights(ORPHANS, pieces=1)["child_without_parent"]
    assert found in [f.key["id"] for f in second.findings]
    connection.execute("update child set parent_id = 1 where id = %s", (found,))
    third = nights(ORPHANS, pieces=1)["child_without_parent"]
    assert found not in [f.key["id"] for f in third.findings]


def test_no_snapshot_is_held_longer_than_a_piece(giant, nights, monkeypatch):
    _, url = giant
    ages = []
    fetch_piece = night.walk.Walker._fetch_piece

    def watching(self, member, cut, piece):
        with connect(url, name="watching") as other:
            row = other.execute(
                "select clock_timestamp() - xact_start as age from pg_stat_activity "
                "where pid = %s",
                (member.info.backend_pid,),
            ).fetchone()
            ages.append(row["age"].total_seconds())
        return fetch_piece(self, member, cut, piece)

    monkeypatch.setattr(night.walk.Walker, "_fetch_piece", watching)
    nights(FLAGGED, pieces=20)
    assert len(ages) > 10
    assert sorted(ages)[len(ages) // 2] < 0.5
    assert sum(ages) > max(ages), "each piece began a transaction of its own"


def test_a_table_that_was_rewritten_begins_anew(giant, nights):
    connection, _ = giant
    before = nights(FLAGGED)["child_flagged"].covered
    connection.execute("vacuum full child")
    assert nights(FLAGGED, pieces=1)["child_flagged"].covered < before


def test_other_checks_begin_anew(nights):
    before = nights(FLAGGED, pieces=8)["child_flagged"].covered
    after = nights(FLAGGED, ORPHANS, pieces=1)["child_flagged"].covered
    assert after < before


def test_a_cursor_belongs_to_one_database(nights, database, tmp_path):
    nights(FLAGGED)
    other = database("empty")
    with connect(other, name="tests") as connection:
        giants.make(connection)
        with pytest.raises(Refused, match="is the cursor of another database"):
            Nights(connection, other, nights.file)(FLAGGED)
