"""Undo of what a revision did to rows, and of tables that are not what they were."""

import pytest

from sexton.database import rows, scalar
from tests.support.online import operations

TABLES = """
    create table offices (id int primary key, name text);
    create table addresses (id int primary key, office_id int, city text);
    create table letters (
        id int primary key, address_id int references addresses on delete cascade
    );
    insert into offices values (1, 'o');
    insert into addresses values (1, 1, 'x'), (2, 77, 'y'), (3, 78, 'z');
    insert into letters values (1, 2), (2, 1);
"""
KEY = ("addresses_office", "addresses", "offices", ["office_id"], ["id"])


@pytest.fixture
def world(from_nothing, empty_url, tmp_path, monkeypatch):
    """The tables, in a folder with a project file that declares nothing of them."""
    sexton, connection = from_nothing
    (tmp_path / "sexton.toml").write_text('project = "team"\n')
    monkeypatch.chdir(tmp_path)
    connection.execute(TABLES)
    return sexton, connection, empty_url


def whole(connection):
    return [
        rows(connection, f"select * from {table} order by id")
        for table in ("addresses", "letters")
    ]


@pytest.mark.parametrize("orphans", ["delete", "null"])
def test_orphans_come_back_once_the_key_is_gone(world, orphans):
    sexton, connection, url = world
    before = whole(connection)
    with operations(url) as op:
        op.create_foreign_key_online(*KEY, orphans=orphans, cascades=True)
    assert whole(connection) != before
    result = sexton("undo", "1")
    assert result.code == 5
    assert "addresses_office" in result.stderr
    assert "first drop what forbids them: sexton" in result.stderr
    with operations(url) as op:
        op.drop_constraint_online("addresses_office", "addresses")
    result = sexton("undo", "1")
    assert result.code == 0, result.stderr
    assert whole(connection) == before
    assert sexton("undo", "1").code == 5


def test_a_role_that_does_not_own_the_tables_is_not_believed(world):
    sexton, connection, url = world
    with operations(url) as op:
        op.create_foreign_key_online(*KEY, orphans="null")
        op.drop_constraint_online("addresses_office", "addresses")
    connection.execute("create role stranger; alter table sexton.runs disable trigger all")
    connection.execute("alter table sexton.changes disable trigger all")
    connection.execute("update sexton.runs set role = 'stranger'")
    connection.execute("update sexton.changes set role = 'stranger'")
    try:
        result = sexton("undo", "1")
    finally:
        connection.execute("drop role stranger")
    assert result.code == 5
    assert "nothing that is declared here changes that table" in result.stderr


@pytest.mark.parametrize("swapped", [True, False], ids=["swapped", "restored"])
def test_another_table_of_the_same_name_is_refused(world, swapped):
    sexton, connection, url = world
    with operations(url) as op:
        op.create_foreign_key_online(*KEY, orphans="null")
        op.drop_constraint_online("addresses_office", "addresses")
    connection.execute(
        """
        alter table letters drop constraint letters_address_id_fkey;
        alter table addresses rename to addresses_old;
        create table addresses (like addresses_old including all);
        insert into addresses select * from addresses_old
        """
    )
    if not swapped:
        connection.execute("drop table addresses_old")
    result = sexton("undo", "1")
    assert result.code == 5
    assert "changed a table addresses with the oid" in result.stderr
    count = "select count(*) from addresses where office_id is null"
    assert scalar(connection, count) == 2
    assert sexton("undo", "1", "--allow-table").code == 0
    assert scalar(connection, count) == 0


def test_an_entry_that_says_nothing_deletes_nothing(world):
    sexton, connection, url = world
    with operations(url) as op:
        op.create_foreign_key_online(*KEY, orphans="null")
        op.drop_constraint_online("addresses_office", "addresses")
    connection.execute("update sexton.changes set before = null, after = null")
    result = sexton("undo", "1")
    assert result.code == 5
    assert "neither what it was nor what it became" in result.stderr
    assert scalar(connection, "select count(*) from addresses") == 3


def test_an_undone_insertion_takes_no_rows_of_others_with_it(world):
    sexton, connection, url = world
    insert = {
        "insert": "addresses",
        "columns": ["id", "office_id"],
        "source": "select * from (values (8, 1), (9, 1)) as v where v.column1 > 7",
    }
    step = {
        "title": "insert",
        "lock": "row exclusive",
        "tables": ("addresses",),
        "sql": [insert],
        "irreversible": "nothing takes them away",
    }
    with operations(url) as op:
        op.run_steps([step])
    connection.execute("insert into letters values (9, 9)")
    result = sexton("undo", "1")
    assert result.code == 5
    assert "would reach 1 row of letters" in result.stderr
    assert scalar(connection, "select count(*) from letters where id = 9") == 1
    connection.execute("delete from letters where id = 9")
    assert sexton("undo", "1").code == 0
    assert scalar(connection, "select count(*) from addresses") == 3
