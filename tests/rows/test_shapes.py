"""Deleting and restoring rows of tables, keys and triggers of many shapes."""

import contextlib

import psycopg
import pytest

import sexton.rows
from sexton import project as projects
from sexton.database import rows, scalar
from sexton.errors import Busy, NotFound, Refused, UsageError
from sexton.repair.undo import undo_run
from tests.rows.conftest import default, refer, soft


@pytest.mark.parametrize("action", ["no action", "restrict"])
def test_a_child_of_two_tables_is_deleted_before_both(world, action):
    connection, project = world(
        f"""
        create table a (id int primary key);
        create table b (id int primary key, a int references a on delete {action});
        create table d (
            id int primary key, a int references a on delete {action},
            b int references b on delete {action}
        );
        insert into a values (1);
        insert into b values (1, 1);
        insert into d values (1, 1, 1);
        """,
        refer("b.a", "a.id", "delete")
        + refer("d.a", "a.id", "delete")
        + refer("d.b", "b.id", "delete"),
    )
    done = sexton.rows.delete(connection, "a", 1, project=project)
    assert scalar(connection, "select count(*) from d") == 0
    sexton.rows.restore(connection, run=done.run, project=project)
    assert scalar(connection, "select count(*) from d") == 1


def test_a_circle_of_rows_is_deleted_in_one_statement(world):
    connection, project = world(
        """
        create table a (id int primary key, up int references a);
        insert into a values (1, null), (2, 1), (3, 2);
        update a set up = 3 where id = 1;
        """,
        refer("a.up", "a.id", "delete"),
    )
    done = sexton.rows.delete(connection, "a", 1, project=project)
    assert scalar(connection, "select count(*) from a") == 0
    sexton.rows.restore(connection, run=done.run, project=project)
    assert scalar(connection, "select count(*) from a") == 3


def test_a_circle_of_tables_is_deleted_in_one_statement(world):
    connection, project = world(
        """
        create table a (id int primary key, b int);
        create table b (id int primary key, a int references a);
        alter table a add foreign key (b) references b;
        insert into a values (1, null);
        insert into b values (1, 1);
        update a set b = 1;
        """,
        refer("a.b", "b.id", "delete") + refer("b.a", "a.id", "delete"),
    )
    sexton.rows.delete(connection, "a", 1, project=project)
    assert scalar(connection, "select count(*) from a") == 0
    assert scalar(connection, "select count(*) from b") == 0


def test_a_row_that_is_deleted_is_not_emptied(world):
    connection, project = world(
        """
        create table a (id int primary key);
        create table b (id int primary key, a int);
        create table n (id int primary key, a int, b int);
        insert into a values (1);
        insert into b values (1, 1);
        insert into n values (1, 1, 1);
        """,
        refer("b.a", "a.id", "delete")
        + refer("n.a", "a.id", "null")
        + refer("n.b", "b.id", "delete"),
    )
    sexton.rows.delete(connection, "a", 1, project=project)
    assert scalar(connection, "select count(*) from n") == 0


def test_a_soft_deleted_row_is_emptied_if_its_parent_is_deleted_for_good(world):
    connection, project = world(
        """
        create table a (id int primary key);
        create table b (id int primary key, a int);
        create table n (
            id int primary key, a int references a, b int, deleted_at timestamptz
        );
        insert into a values (1);
        insert into b values (1, 1);
        insert into n values (1, 1, 1);
        """,
        soft("n")
        + refer("b.a", "a.id", "delete")
        + refer("n.a", "a.id", "null")
        + refer("n.b", "b.id", "soft_delete"),
    )
    before = rows(connection, "select * from n")
    done = sexton.rows.delete(connection, "a", 1, project=project)
    assert scalar(connection, "select a is null and deleted_at is not null from n")
    sexton.rows.restore(connection, run=done.run, project=project)
    assert rows(connection, "select * from n") == before


def test_a_table_with_triggers_is_restored(world):
    connection, project = world(
        """
        create table a (id int primary key, deleted_at timestamptz, touched timestamptz);
        create function touch() returns trigger language plpgsql as
            'begin new.touched = clock_timestamp(); return new; end';
        create trigger touch before update on a for each row execute function touch();
        insert into a values (1);
        """,
        soft("a"),
    )
    done = sexton.rows.delete(connection, "a", 1, project=project)
    sexton.rows.restore(connection, run=done.run, project=project)
    assert scalar(connection, "select deleted_at is null from a")


def test_a_trigger_that_reverts_the_deletion_refuses_it(world):
    connection, project = world(
        """
        create table a (id int primary key, deleted_at timestamptz);
        create function back() returns trigger language plpgsql as 'begin
            update a set deleted_at = null where id = new.id and deleted_at is not null;
            return null; end';
        create constraint trigger back after update on a deferrable initially deferred
            for each row execute function back();
        insert into a values (1);
        """,
        soft("a"),
    )
    with pytest.raises(Refused, match=r"1 rows of a are not deleted afterwards \(1\)"):
        sexton.rows.delete(connection, "a", 1, project=project)


def test_marks_that_leave_a_row_live_refuse_it(world):
    connection, project = world(
        """
        create table a (id int primary key, gone text default 'no');
        insert into a values (1);
        """,
        """
        [[soft_delete]]
        table = "a"
        live = "gone = 'no'"
        set = { gone = "nullif(gone, 'x')" }
        """,
    )
    with pytest.raises(Refused, match="are not deleted afterwards"):
        sexton.rows.delete(connection, "a", 1, project=project)


def test_no_key_is_cut_short_or_rounded(world):
    connection, project = world(
        """
        create domain code as varchar(3);
        create table vc (id varchar(3) primary key, deleted_at timestamptz);
        create table dm (id code primary key, deleted_at timestamptz);
        create table nu (id numeric(5, 1) primary key, deleted_at timestamptz);
        create table ts (id timestamp(0) primary key, deleted_at timestamptz);
        create table ch (id char(3) primary key, deleted_at timestamptz);
        create table bi (id bit(3) primary key, deleted_at timestamptz);
        insert into vc values ('abc');
        insert into dm values ('abc');
        insert into nu values (8.0);
        insert into ts values ('2020-01-01 00:00:01');
        insert into ch values ('abc'), ('x');
        insert into bi values ('101');
        """,
        soft("vc", "dm", "nu", "ts", "ch", "bi"),
    )
    for table, key, other in (
        ("vc", "abc", "abcd"),
        ("dm", "abc", "abcd"),
        ("nu", "8", "7.98"),
        ("ts", "2020-01-01 00:00:01", "2020-01-01 00:00:00.9"),
        ("ch", "abc", "abcd"),
        ("ch", "x", "xyzz"),
        ("bi", "101", "1011"),
    ):
        with pytest.raises(NotFound, match=f"{table} has no row {other}"):
            sexton.rows.delete(connection, table, other, project=project)
        sexton.rows.delete(connection, table, key, project=project)
        sexton.rows.restore(connection, table, key, project=project)


def test_every_digit_of_a_key_counts(world):
    connection, project = world(
        """
        create table a (id numeric primary key, deleted_at timestamptz, flag boolean);
        create table b (id float8 primary key, a numeric, deleted_at timestamptz);
        insert into a values
            (7.10, null, false), (1.000000000000000000001, null, true), (3, null, false);
        insert into b values
            (0.1::float8 + 0.2::float8, 7.10), (2, 1.000000000000000000001);
        """,
        soft("a", "b") + refer("b.a", "a.id") + default("a", "flag"),
    )
    for key in ("7.1", "1.000000000000000000001"):
        done = sexton.rows.delete(connection, "a", key, project=project)
        assert {"a", "b"} <= {change.table for change in done.document.changes}
        sexton.rows.restore(connection, "a", key, project=project)
    assert scalar(connection, "select count(*) from a where deleted_at is null") == 3
    flagged = "select id::text from a where flag"
    assert scalar(connection, flagged) == "1.000000000000000000001"


def test_each_flag_of_a_table_has_its_own_heir(world):
    connection, project = world(
        """
        create table a (id int primary key, f boolean, g boolean, deleted_at timestamptz);
        insert into a values (1, true, true), (2, false, false), (3, false, false);
        create unique index on a ((1)) where f;
        create unique index on a ((1)) where g;
        """,
        soft("a")
        + default("a", "f", elect=["id"])
        + default("a", "g", elect=["id desc"], name="other_default"),
    )
    before = rows(connection, "select * from a order by id")
    done = sexton.rows.delete(connection, "a", 1, project=project)
    assert rows(connection, "select id, f, g from a order by id") == [
        {"id": 1, "f": False, "g": False},
        {"id": 2, "f": True, "g": False},
        {"id": 3, "f": False, "g": True},
    ]
    sexton.rows.restore(connection, run=done.run, project=project)
    assert rows(connection, "select * from a order by id") == before


@pytest.mark.parametrize("index", ["", "create unique index on a ((1)) where f"])
def test_a_default_that_was_deleted_for_good_comes_back(world, index):
    connection, project = world(
        f"""
        create table a (id int primary key, f boolean not null);
        insert into a values (1, true), (2, false), (3, false);
        {index}
        """,
        default("a", "f", elect=["id"]),
    )
    before = rows(connection, "select * from a order by id")
    done = sexton.rows.delete(connection, "a", 1, project=project)
    assert rows(connection, "select id from a where f") == [{"id": 2}]
    sexton.rows.restore(connection, run=done.run, project=project)
    assert rows(connection, "select * from a order by id") == before


def test_what_moves_to_another_group_is_not_its_second_default(world):
    tables = """
        create table c (id int primary key);
        create table a (id int primary key, c int, f boolean not null);
        insert into c values (1), (2);
        insert into a values (1, 1, true), (2, 1, false), (3, 2, true);
    """
    file = refer("a.c", "c.id", "null") + default("a", "f", per=["c"], elect=["id desc"])
    connection, project = world(tables, file)
    before = rows(connection, "select * from a order by id")
    seen = sexton.rows.delete(connection, "c", 1, 2, project=project, preview=True)
    done = sexton.rows.delete(connection, "c", 1, 2, project=project)
    assert done.document.defaults == seen.document.defaults
    assert rows(connection, "select id from a where f and c is null") == [{"id": 3}]
    sexton.rows.restore(connection, run=done.run, project=project)
    assert rows(connection, "select * from a order by id") == before
    connection.execute("insert into a values (4, null, true), (5, null, false)")
    sexton.rows.delete(connection, "c", 1, 2, project=project)
    assert rows(connection, "select id from a where f and c is null") == [{"id": 4}]


def test_marks_that_a_key_passes_on_refuse_it(world):
    connection, project = world(
        """
        create table a (id int primary key, email text unique, deleted_at timestamptz);
        create table b (id int primary key, email text references a (email)
            on update cascade);
        insert into a values (1, 'x'), (2, 'y');
        insert into b values (1, 'x');
        """,
        """
        [[soft_delete]]
        table = "a"
        live = "deleted_at is null"
        set = { deleted_at = "now()", email = "email || '-gone'" }
        """,
    )
    seen = sexton.rows.delete(connection, "a", 1, project=project, preview=True)
    [refusal] = seen.document.refused
    assert (refusal.table, refusal.keys) == ("b", [{"email": "x"}])
    with pytest.raises(Refused, match="b_email_fkey, the deletion changes email"):
        sexton.rows.delete(connection, "a", 1, project=project)
    assert scalar(connection, "select email from b") == "x"
    sexton.rows.delete(connection, "a", 2, project=project)


def test_a_unique_key_that_waits_for_the_end_is_asked_before(world):
    connection, project = world(
        """
        create table a (id int primary key, email text, deleted_at timestamptz,
            unique (email) deferrable initially deferred);
        insert into a values (1, 'x'), (3, 'y');
        """,
        """
        [[soft_delete]]
        table = "a"
        live = "deleted_at is null"
        set = { deleted_at = "now()", email = "email || '-gone'" }
        """,
    )
    done = sexton.rows.delete(connection, "a", 1, 3, project=project)
    connection.execute("insert into a values (2, 'x')")
    with pytest.raises(Refused, match="a 1 cannot be restored: duplicate key"):
        sexton.rows.restore(connection, run=done.run, project=project)
    back = sexton.rows.restore(connection, run=done.run, project=project, partial=True)
    [left] = back.document.left
    assert left.key == {"id": 1}


def test_rows_that_share_a_key_are_not_deleted(world):
    connection, project = world(
        """
        create table a (id int, deleted_at timestamptz);
        insert into a values (1), (1), (2);
        """,
        soft("a"),
    )
    with pytest.raises(UsageError, match="no unique key"):
        sexton.rows.delete(connection, "a", 1, project=project)


def test_a_child_with_null_in_its_key_refuses_it(world):
    connection, project = world(
        """
        create table a (id int primary key, deleted_at timestamptz);
        create table b (id int unique, a int, deleted_at timestamptz);
        insert into a values (1);
        insert into b values (null, 1);
        """,
        soft("a", "b") + refer("b.a", "a.id"),
    )
    with pytest.raises(Refused, match="NULL in its key"):
        sexton.rows.delete(connection, "a", 1, project=project)


def test_a_mark_that_is_part_of_the_key_is_refused(world):
    connection, project = world(
        """
        create table a (id int, deleted boolean not null, primary key (id, deleted))
            partition by list (deleted);
        create table live partition of a for values in (false);
        create table gone partition of a for values in (true);
        insert into a values (1, false);
        """,
        '[[soft_delete]]\ntable = "a"\ndeleted = "deleted"\nid = ["id", "deleted"]\n',
    )
    with pytest.raises(UsageError, match="which is part of its key"):
        sexton.rows.delete(connection, "a", (1, "false"), project=project)


def test_another_spelling_of_a_key_is_the_same_row(world):
    connection, project = world(
        """
        create table a (id uuid primary key, deleted_at timestamptz);
        create table n (id int primary key, deleted_at timestamptz);
        insert into a values ('aaaaaaaa-0000-0000-0000-000000000001');
        insert into n values (7);
        """,
        soft("a", "n"),
    )
    key = "aaaaaaaa-0000-0000-0000-000000000001"
    sexton.rows.delete(connection, "a", key.upper(), project=project)
    sexton.rows.restore(connection, "a", key, project=project)
    done = sexton.rows.delete(connection, "n", "7", "07", project=project)
    assert done.document.changes[0].count == 1


def test_a_wait_for_a_lock_is_bounded_and_busy(world, monkeypatch):
    connection, project = world(
        """
        create table a (id int primary key, deleted_at timestamptz);
        insert into a values (7);
        """,
        soft("a"),
    )
    monkeypatch.setattr("sexton.rows.api.LONGEST_WAIT", 100)
    monkeypatch.setattr("sexton.database.LOCK_TIMEOUT", "50ms")
    address = {"conninfo": connection.info.dsn, "password": connection.info.password}
    with (
        contextlib.closing(psycopg.connect(**address)) as other,
        contextlib.closing(psycopg.connect(**address)) as theirs,
    ):
        other.execute("select from a for update")
        for given in (theirs, connection):
            with pytest.raises(Busy, match="lock timeout"):
                sexton.rows.delete(given, "a", 7, project=project)
        assert scalar(theirs, "select current_setting('lock_timeout')") == "0"


def test_a_connection_of_the_callers_own_restores_as_well(world):
    connection, project = world(
        """
        create table a (id int primary key, deleted_at timestamptz);
        insert into a values (7);
        """,
        soft("a"),
    )
    address = {"conninfo": connection.info.dsn, "password": connection.info.password}
    with contextlib.closing(psycopg.connect(**address)) as own:
        sexton.rows.delete(own, "a", 7, project=project)
        sexton.rows.restore(own, "a", 7, project=project)
        assert scalar(own, "select deleted_at is null from a")


def test_a_row_that_others_keep_is_not_deleted_for_good(world):
    connection, project = world(
        """
        create table c (id int primary key);
        create table a (id int primary key, c int);
        insert into c values (1);
        insert into a values (1, 1);
        """,
        refer("a.c", "c.id", "keep"),
    )
    with pytest.raises(Refused, match='on_delete is "keep"'):
        sexton.rows.delete(connection, "c", 1, project=project)


def test_values_of_every_type_come_back_as_they_were(world):
    values = {
        "json": """'{"a":1,  "a":2}'""",
        "jsonb": "'null'",
        "text[]": """'{"a","NULL",null,""}'""",
        "int[][]": "'{{1,2},{3,null}}'",
        "mood": "'a'",
        "mood[]": "'{a,b}'",
        "pair": "'(1,\"x y\")'",
        "word": "'q'",
        "bytea": r"'\x00ff'",
        "float8": "0.1::float8 + 0.2::float8",
        "numeric": "1.10000000000000000000000001",
        "timestamptz": "now()",
        "interval": "'1 mon -2 days 03:04:05.678'",
        "int4range": "'[1,5)'",
        "bit(3)": "'101'",
        "char(5)": "'ab'",
        '"char"': "'c'",
        "timestamp": "'infinity'",
        "float4": "'NaN'",
        "date": "'0044-03-15 BC'",
        "time": "'24:00'",
        "inet": "'::1/64'",
        "tsvector": "'a:1A'",
        "point": "'(1.1,2)'",
    }
    columns = ", ".join(f"c{n} {type}" for n, type in enumerate(values))
    connection, project = world(
        f"""
        create type mood as enum ('a', 'b');
        create type pair as (x int, y text);
        create domain word as text check (value <> '');
        create table a (
            id int generated always as identity primary key,
            twice int generated always as (id * 2) stored, {columns}
        );
        insert into a ({", ".join(f"c{n}" for n in range(len(values)))})
            values ({", ".join(values.values())});
        create table b (id int primary key, a int);
        """,
        refer("b.a", "a.id", "null"),
    )
    before = rows(connection, "select a::text from a")
    done = sexton.rows.delete(connection, "a", 1, project=project)
    assert scalar(connection, "select count(*) from a") == 0
    sexton.rows.restore(connection, run=done.run, project=project)
    assert rows(connection, "select a::text from a") == before


def test_a_kept_flag_that_moved_stays_where_it_is(world):
    connection, project = world(
        """
        create table a (id int primary key, f boolean, deleted_at timestamptz);
        insert into a values (1, true), (2, false), (3, false);
        """,
        soft("a") + default("a", "f", elect=["id"]) + "flag_on_deleted = true\n",
    )
    done = sexton.rows.delete(connection, "a", 1, project=project)
    connection.execute("update a set f = false where id = 2")
    connection.execute("update a set f = true where id = 3")
    sexton.rows.restore(connection, run=done.run, project=project)
    flagged = "select id from a where f and deleted_at is null"
    assert rows(connection, flagged) == [{"id": 3}]


def test_a_restoration_that_was_undone_can_be_repeated(world):
    connection, project = world(
        """
        create table a (id int primary key, deleted_at timestamptz);
        insert into a values (1);
        """,
        soft("a"),
    )
    done = sexton.rows.delete(connection, "a", 1, project=project)
    back = sexton.rows.restore(connection, run=done.run, project=project)
    with projects.using(project):
        undo_run(connection, back.run)
    sexton.rows.restore(connection, "a", 1, project=project)
    assert scalar(connection, "select deleted_at is null from a")


def test_a_row_of_a_table_that_inherits_is_not_deleted_for_good(world):
    connection, project = world(
        """
        create table parent (id int primary key);
        create table child (id int primary key, ref int);
        create table heir (more text) inherits (child);
        insert into parent values (1), (2);
        insert into child values (1, 1);
        insert into heir values (7, 2, 'what the journal of child cannot hold');
        """,
        refer("child.ref", "parent.id", "delete"),
    )
    before = rows(connection, "select * from heir")
    with pytest.raises(Refused, match=r"child are left behind \(7\): their table inherits"):
        sexton.rows.delete(connection, "parent", 2, project=project)
    assert rows(connection, "select * from heir") == before
    sexton.rows.delete(connection, "parent", 1, project=project)
    assert scalar(connection, "select count(*) from child") == 1
