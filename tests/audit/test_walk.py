"""A walk over pieces misses nothing, whatever happens to one of them."""

from sexton.audit import ranges
from tests.support import giants
from tests.support.giants import CHECKS, FLAGGED, by_check, check, pieces, run

# A millisecond for each fourth row.
SLOWLY = "{} or this.id % 4 = 0 and pg_catalog.pg_sleep(0.0005) is null"


def test_samples_are_the_first_by_key_in_the_databases_order(giant, monkeypatch):
    connection, _ = giant
    connection.execute("alter table child alter id type text using to_char(id, 'FM9999')")
    connection.execute("update child set flag = true where id::int % 7 = 0")
    connection.execute("vacuum full child")
    connection.execute("analyze child")
    whole = by_check(run(connection, FLAGGED, sample=20))
    giants.call_small_large(monkeypatch)
    assert by_check(run(connection, FLAGGED, sample=20)) == whole


def test_a_piece_that_takes_too_long_is_halved_and_nothing_is_missed(giant, monkeypatch):
    connection, _ = giant
    slow = check("slow", where=SLOWLY.format("this.flag"))
    giants.call_small_large(monkeypatch)
    monkeypatch.setattr(ranges, "FIRST", 64)
    watched = []
    [outcome] = run(connection, slow, statement_timeout=0.2, watch=watched.append)
    assert (outcome.status, outcome.count) == ("fail", 8)
    assert len(pieces(watched)) > 4


def test_what_the_deadline_leaves_is_incomplete_and_says_how_far_it_came(
    giant, monkeypatch
):
    connection, _ = giant
    slow = check("slow", where=SLOWLY.format("this.id = 1"))
    giants.call_small_large(monkeypatch)
    [outcome] = run(connection, slow, deadline=0.6)
    assert outcome.status == "incomplete"
    assert "the deadline of 0.6 s had passed; covered " in outcome.reason
    assert " found so far" in outcome.reason


def test_one_bad_check_does_not_spoil_the_pieces_it_shares(giant, monkeypatch):
    connection, _ = giant
    giants.call_small_large(monkeypatch)
    bad = check("bad", where="1 / (this.id - 3999) > 5")
    found = {o.check.name: o for o in run(connection, *CHECKS, bad)}
    assert found["bad"].status == "incomplete"
    assert "division by zero" in found["bad"].reason
    assert (found["child_flagged"].status, found["child_flagged"].count) == ("fail", 8)
    assert found["child_without_parent"].count == 10
