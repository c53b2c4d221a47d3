"""What the database has: absent and hidden are two things, and a view is neither."""

import contextlib
import os

import psycopg
import pytest
from psycopg import conninfo

from sexton.catalog.schema import columns, revision, sight, visible_revision
from sexton.database import connect
from sexton.errors import WrongSchema
from tests.support.project import HEAD
from tests.support.tools import login


def test_columns_are_those_of_the_callers_table(connection):
    connection.execute("create schema apart; create table apart.chats (own int)")
    assert "last_model_config_id" in columns(connection, "chats")
    assert columns(connection, "apart.chats") == {"own"}
    connection.execute("alter table apart.chats add gone int; ")
    connection.execute("alter table apart.chats drop gone")
    assert columns(connection, "apart.chats") == {"own"}
    assert columns(connection, "nothing") == set()


def test_absent_hidden_and_visible(administrator, database, url):
    with contextlib.closing(connect(database("empty"), name="tests")) as empty:
        assert sight(empty) == "absent"
        assert revision(empty) is None
    role = f"stranger_{os.getpid()}"
    administrator.execute(f"create role {role} {login(administrator)}")
    try:
        address = conninfo.make_conninfo(url, user=role)
        with contextlib.closing(connect(address, name="tests")) as stranger:
            assert sight(stranger) == "hidden"
            assert visible_revision(stranger) is None
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                revision(stranger)
    finally:
        administrator.execute(f"drop role {role}")


def test_a_view_in_its_place_is_never_read(database):
    with contextlib.closing(connect(database("empty"), name="tests")) as there:
        there.execute("create schema sexton; create table read ()")
        there.execute(
            "create function spring() returns text language plpgsql as $$ begin "
            "insert into read default values; return '9999'; end $$"
        )
        there.execute(
            "create view sexton.alembic_version as select spring() as version_num"
        )
        for asking in (revision, visible_revision):
            with pytest.raises(WrongSchema, match="is no table"):
                asking(there)
        assert there.execute("select from read").fetchall() == []


def test_functions_on_the_path_are_not_called(connection):
    """A better match in a schema of the path would run with the caller's rights."""
    connection.execute("create table called ()")
    for signature in (
        "has_schema_privilege(oid, unknown)",
        "has_schema_privilege(regnamespace, text)",
        "has_table_privilege(oid, name)",
    ):
        with contextlib.suppress(psycopg.Error):  # not every version takes `unknown`
            connection.execute(
                f"create function public.{signature} returns boolean language plpgsql "
                "as $$ begin insert into called default values; return true; end $$"
            )
    connection.execute(
        "create function public.differ(name, text) returns boolean language plpgsql "
        "as $$ begin insert into called default values; return true; end $$"
    )
    connection.execute(
        "create operator public.= (leftarg = name, rightarg = text, function = differ)"
    )
    assert revision(connection) == HEAD
    assert columns(connection, "chats")
    assert connection.execute("select from called").fetchall() == []
