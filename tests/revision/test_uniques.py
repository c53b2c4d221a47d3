"""Unique among live rows: the index that counts deleted rows is swapped, and back."""

import contextlib
import threading

import psycopg
import pytest

from sexton.database import connect
from sexton.errors import Refused
from sexton.project import Project
from sexton.reference import Declarations, SoftDelete, Unique
from sexton.revision.compare import compare
from tests.support.revisions import down, state, up

TABLE = """
    create table users (
        id int primary key, tenant_id int, email text, name varchar(20),
        deleted boolean not null default false
    );
    insert into users values (1, 1, 'a@x', 'a'), (2, 1, 'b@x', 'b');
"""
EMAIL = Unique(table="users", columns=("email",))
LOWER = Unique(table="users", columns=("tenant_id", "lower(email)"))


def compared(connection, tmp_path, *uniques, **more):
    soft = (SoftDelete(table="users", deleted="deleted"),)
    declared = Declarations(soft_delete=soft, unique=uniques, **more)
    project = Project("shop", file=tmp_path / "sexton.toml", declared=declared)
    return compare(connection, project)


SWAPS = {
    "constraint": ("alter table users add unique (email)", EMAIL, "users_email_key"),
    "index": ("create unique index by_email on users (email)", EMAIL, "by_email"),
    "expression": (
        "create unique index by_email on users (lower(email), tenant_id)",
        LOWER,
        "by_email",
    ),
}


@pytest.mark.parametrize("kind", SWAPS)
def test_what_counts_deleted_rows_is_swapped_and_back(empty, empty_url, tmp_path, kind):
    made, unique, old = SWAPS[kind]
    empty.execute(TABLE + made)
    before = state(empty)
    [build, drop], notes = compared(empty, tmp_path, unique)
    assert build.what.startswith("build users_")
    assert drop.what == f"drop {old}, which counts deleted rows of users"
    assert notes == []
    up(empty_url, [build, drop])
    assert compared(empty, tmp_path, unique) == ([], [])
    with pytest.raises(psycopg.errors.UniqueViolation):
        empty.execute("insert into users values (3, 1, 'a@x', 'c')")
    empty.execute("update users set deleted = true where id = 1")
    down(empty_url, [build, drop])
    assert state(empty) == before
    up(empty_url, [build, drop])
    empty.execute("insert into users values (3, 1, 'a@x', 'c')")
    with pytest.raises(Refused, match="have the same"):
        down(empty_url, [build, drop])
    assert [one.what for one in compared(empty, tmp_path, unique)[0]] == []


def test_no_instant_is_unguarded(empty, empty_url, tmp_path):
    """Beside the swap somebody inserts duplicates as fast as may be; none gets in."""
    empty.execute(TABLE + "alter table users add unique (email)")
    changes, _ = compared(empty, tmp_path, EMAIL)
    stopped, let_in = threading.Event(), []

    def insist():
        with contextlib.closing(connect(empty_url, name="application")) as other:
            while not stopped.is_set():
                with contextlib.suppress(psycopg.errors.UniqueViolation):
                    other.execute("insert into users values (9, 1, 'a@x', 'z')")
                    let_in.append(True)

    thread = threading.Thread(target=insist)
    thread.start()
    try:
        for _ in range(3):
            up(empty_url, changes)
            down(empty_url, changes)
    finally:
        stopped.set()
        thread.join()
    assert let_in == []


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("create unique index k on users (email) include (name)", "could make it again"),
        ("alter table users add constraint k unique (email) deferrable", "make it again"),
        (
            "create unique index k on users (email text_pattern_ops)",
            "could make it again",
        ),
        (
            "alter table users add constraint k unique (email);"
            "create table seen (email text references users (email))",
            "a foreign key refers to it",
        ),
    ],
)
def test_what_cannot_be_made_again_is_kept_and_said(empty, tmp_path, made, why):
    empty.execute(TABLE + made)
    changes, [note] = compared(empty, tmp_path, EMAIL)
    assert [change.what.partition(",")[0] for change in changes] == [
        "build users_email_live_key"
    ]
    assert note.startswith("k counts deleted rows of users and is kept, because")
    assert note.endswith(why)


@pytest.mark.parametrize(
    "made",
    [
        "create unique index k on users (email) where not deleted",
        "create unique index k on users (email) where deleted = false",
    ],
)
def test_an_index_among_live_rows_is_known_however_it_is_spelt(empty, tmp_path, made):
    empty.execute(TABLE + made)
    assert compared(empty, tmp_path, EMAIL) == ([], [])


@pytest.mark.parametrize(
    "made",
    [
        "create unique index k on users (email, tenant_id)",
        "create unique index k on users (email) where tenant_id is not null",
        "create unique index k on users (lower(email))",
    ],
)
def test_an_index_of_another_promise_is_left(empty, tmp_path, made):
    empty.execute(TABLE + made)
    [change], notes = compared(empty, tmp_path, EMAIL)
    assert change.what.startswith("build users_email_live_key")
    assert notes == []


def test_a_column_that_is_still_to_be_made_is_said(empty, tmp_path):
    empty.execute("create table users (id int primary key, email text)")
    _, [note] = compared(empty, tmp_path, EMAIL)
    assert "users_email_duplicated is about a column that this revision makes" in note


def test_a_partitioned_table_is_said(empty, tmp_path):
    empty.execute(
        "create table users (id int primary key, email text, deleted boolean not null) "
        "partition by list (id)"
    )
    changes, [note] = compared(empty, tmp_path, EMAIL, reference=())
    assert changes == []
    assert "users is partitioned: sexton audit finds duplicates" in note


def test_a_function_of_strangers_is_not_asked(empty, tmp_path):
    empty.execute(
        TABLE + "create function public.mine(text) returns text immutable language sql "
        "as 'select $1'; create unique index k on users (mine(email))"
    )
    [change], _ = compared(empty, tmp_path, EMAIL)
    assert change.what.startswith("build users_email_live_key")
