"""A scan in pieces finds what it finds in one, whoever takes them and however long."""

import uuid

import pytest

from sexton.database import connect, settings
from tests.support import giants
from tests.support.giants import CHECKS, FLAGGED, ORPHANS, by_check, check, pieces, run

PARTITIONED = """
    create table parent (id int primary key, dead_since timestamptz);
    create table child (id bigint, parent_id int, filler text, at timestamptz,
                        flag boolean) partition by range (id);
    create table early partition of child for values from (0) to (9000);
    insert into parent values (1);
    insert into child
    select n, 1, repeat('x', 200), now(), false from generate_series(1, 4000) n
"""


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


def test_a_foreign_partition_is_read_although_the_others_are_large(connection, monkeypatch):
    giants.make(
        connection,
        f"""
        create extension file_fdw;
        create server files foreign data wrapper file_fdw;
        {PARTITIONED};
        create foreign table late partition of child for values from (9000) to (9999)
            server files options (program 'echo 9000,2,x,2020-01-01,f', format 'csv');
        analyze
        """,
    )
    giants.call_small_large(monkeypatch)
    assert by_check(run(connection, ORPHANS)) == {
        "child_without_parent": ("fail", 1, [9000])
    }


def test_a_role_that_may_read_the_whole_table_needs_no_grant_on_its_partitions(
    database, monkeypatch
):
    url = database("empty")
    role = f"auditor_{uuid.uuid4().hex[:8]}"
    with connect(url, name="tests") as owner:
        giants.make(owner, f"{PARTITIONED}; insert into child values (8999, 2); analyze")
        owner.execute(f"create role {role}; grant select on parent, child to {role}")
        giants.call_small_large(monkeypatch)
        owner.execute(f"set role {role}")
        assert by_check(run(owner, ORPHANS)) == {
            "child_without_parent": ("fail", 1, [8999])
        }
        owner.execute(f"reset role; drop owned by {role}; drop role {role}")


def test_a_reference_of_a_table_to_itself_is_not_cut(giant, monkeypatch):
    from sexton.check import Reference

    connection, _ = giant
    giants.call_small_large(monkeypatch)
    itself = check("itself", reference=Reference("parent_id", "child", "id"))
    watched = []
    [outcome] = run(connection, itself, watch=watched.append)
    assert pieces(watched) == []
    assert outcome.count == 3


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
