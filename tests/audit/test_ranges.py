"""A scan in pieces finds what it finds in one, whoever takes them and however long."""

import pytest

from sexton.audit import ranges
from sexton.audit.auditor import run_checks
from sexton.audit.walk import Covered
from sexton.database import connect, settings
from tests.support import giants
from tests.support.giants import CHECKS, FLAGGED, ORPHANS, by_check, check


def run(connection, *checks, url=None, watch=lambda _: None, **more):
    opener = (lambda: connect(url, name="tests", read_only=True)) if url else None
    _, outcomes = run_checks(
        *(connection, checks, giants.options(**more)), connect=opener, watch=watch
    )
    return outcomes


@pytest.fixture
def giant(database):
    url = database("empty")
    with connect(url, name="tests") as connection:
        giants.make(connection)
        yield connection, url


def pieces(watched):
    return [what.part for what in watched if isinstance(what, Covered)]


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("checks", [CHECKS, [ORPHANS], [FLAGGED]], ids=len)
def test_pieces_find_what_one_statement_finds(giant, monkeypatch, jobs, checks):
    connection, url = giant
    whole = by_check(run(connection, *checks))
    watched = []
    giants.call_small_large(monkeypatch)
    cut = run(connection, *checks, url=url, jobs=jobs, watch=watched.append)
    assert by_check(cut) == whole
    assert len(pieces(watched)) > 2
    assert pieces(watched)[-1] == 1.0
    assert whole["child_flagged" if FLAGGED in checks else "child_without_parent"][1] > 0


def test_pieces_find_the_same_by_key_where_pages_have_no_numbers(giant, monkeypatch):
    connection, _ = giant
    whole = by_check(run(connection, *CHECKS))
    giants.call_small_large(monkeypatch)
    monkeypatch.setattr(ranges, "TID_RANGES", 990000)
    watched = []
    assert by_check(run(connection, *CHECKS, watch=watched.append)) == whole
    assert len(pieces(watched)) > 2


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
    slow = check("slow", where="this.flag or pg_catalog.pg_sleep(0.0005) is null")
    giants.call_small_large(monkeypatch)
    monkeypatch.setattr(ranges, "FIRST", 64)
    watched = []
    [outcome] = run(connection, slow, statement_timeout=0.5, watch=watched.append)
    assert (outcome.status, outcome.count) == ("fail", 8)
    assert len(pieces(watched)) > 4


def test_what_the_deadline_leaves_is_incomplete_and_says_how_far_it_came(
    giant, monkeypatch
):
    connection, _ = giant
    slow = check("slow", where="this.id = 1 or pg_catalog.pg_sleep(0.0005) is null")
    giants.call_small_large(monkeypatch)
    [outcome] = run(connection, slow, deadline=1.5)
    assert outcome.status == "incomplete"
    assert "the deadline of 1.5 s had passed; covered " in outcome.reason
    assert " found so far" in outcome.reason


def test_partitions_are_cut_one_by_one(database, monkeypatch):
    connection = connect(database("empty"), name="tests")
    giants.make(
        connection,
        """
        create table parent (id int primary key, dead_since timestamptz);
        create table child (id bigint, parent_id int, filler text, at timestamptz,
                            flag boolean) partition by range (id);
        create table early partition of child for values from (0) to (2000);
        create table late (flag boolean, id bigint not null, filler text, at timestamptz,
                           parent_id int);
        alter table child attach partition late for values from (2000) to (9000);
        insert into parent values (1);
        insert into child
        select n, case when n % 500 = 0 then 2 else 1 end, repeat('x', 200), now(), false
        from generate_series(1, 4000) n;
        analyze
        """,
    )
    whole = by_check(run(connection, ORPHANS))
    giants.call_small_large(monkeypatch)
    watched = []
    assert by_check(run(connection, ORPHANS, watch=watched.append)) == whole
    assert whole["child_without_parent"][1] == 8
    assert len(pieces(watched)) > 2
    connection.close()


def test_a_reference_of_a_table_to_itself_is_not_cut(giant, monkeypatch):
    from sexton.check import Reference

    connection, _ = giant
    giants.call_small_large(monkeypatch)
    itself = check("itself", reference=Reference("parent_id", "child", "id"))
    watched = []
    [outcome] = run(connection, itself, watch=watched.append)
    assert pieces(watched) == []
    assert outcome.count == 3


def test_one_bad_check_does_not_spoil_the_pieces_it_shares(giant, monkeypatch):
    connection, _ = giant
    giants.call_small_large(monkeypatch)
    bad = check("bad", where="1 / (this.id - 3999) > 5")
    found = {o.check.name: o for o in run(connection, *CHECKS, bad)}
    assert found["bad"].status == "incomplete"
    assert "division by zero" in found["bad"].reason
    assert (found["child_flagged"].status, found["child_flagged"].count) == ("fail", 8)
    assert found["child_without_parent"].count == 10


def test_an_empty_parent_is_not_believed_piece_by_piece(giant, monkeypatch):
    connection, _ = giant
    connection.execute("truncate parent")
    giants.call_small_large(monkeypatch)
    [outcome] = run(connection, ORPHANS)
    assert outcome.status == "incomplete"
    assert "parent is empty" in outcome.reason


def test_rows_that_came_since_the_size_was_read_are_seen(giant, monkeypatch):
    connection, _ = giant
    giants.call_small_large(monkeypatch)
    with connection.transaction(), settings(connection, {}):
        connection.execute("insert into child (id, flag) values (90001, true)")
    [outcome] = run(connection, FLAGGED)
    assert outcome.findings[-1].key == {"id": 90001}
