"""Whose fault it is: the user's and the server's word is never a bug of Sexton's."""

import contextlib
import os

import psycopg
import pytest
from psycopg import conninfo

from sexton.database import connect, database
from sexton.errors import (
    BUG,
    Busy,
    ConnectionFailed,
    Incomplete,
    Refused,
    SextonError,
    Unexpected,
    WrongSchema,
    WrongServer,
)
from sexton.server_errors import to_connection_error, to_sexton_error
from tests.support.tools import login

TRIGGER = """
    create function pg_temp.refuse() returns trigger language plpgsql
    as $$ begin %s; end $$;
    create trigger refuse before insert on chat_providers
    for each row execute function pg_temp.refuse();
"""
INSERT = "insert into chat_providers (provider) values ('openai')"


def fault(connection, *statements):
    """What Sexton says of the first statement that fails."""
    for statement in statements:
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            return to_sexton_error(error)
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(
    "body",
    [
        "raise exception 'not on a Friday'",
        "perform 1 / 0",
        "perform from no_such_table",
        "perform no_such_function()",
    ],
)
def test_a_triggers_word_is_no_bug(connection, body):
    found = fault(connection, TRIGGER % body, INSERT)
    assert isinstance(found, Refused)
    assert "the database's own code refused: " in found.message
    assert "CONTEXT" not in found.message


SERVERS = {
    "select 1 / 0": Refused,
    "select '\\u0000'::jsonb": Refused,
    "select 'NaN'::json": Refused,
    "insert into chat_providers default values": Refused,
    "create table chat_providers ()": Refused,
    "create view v as select 1; insert into v values (1)": Refused,
    "create table t (a int); create rule r as on insert to t do instead nothing; "
    "insert into t values (1) returning a": Refused,
    "set statement_timeout = 10; select pg_sleep(9)": Incomplete,
    "set role pg_monitor; select from chat_providers": Incomplete,
    "set default_transaction_read_only = on; create table t ()": WrongServer,
    "select convert_from('\\xff', 'UTF8')": Incomplete,
    "select from chat_providers where no_such_thing": Unexpected,
    "select from chats join chat_provideers on true": Unexpected,
    "select form chats": Unexpected,
    "select no_such_function()": Unexpected,
}


@pytest.mark.parametrize("statement", SERVERS)
def test_each_gets_its_own_exit_code(connection, statement):
    found = fault(connection, *statement.split("; "))
    expected = SERVERS[statement]
    assert isinstance(found, SextonError)
    assert type(found) is expected, found.message
    assert (found.code == BUG) == (expected is Unexpected)


def test_a_role_that_is_not_let_in_is_told_where_to_name_another():
    error = psycopg.errors.lookup("28000")('role "ops" is not permitted to log in')
    assert "--url, or PGUSER" in str(to_sexton_error(error).hint)


def test_who_cancels_a_statement_is_looked_for(connection):
    statements = ("set statement_timeout = 10", "select pg_sleep(9)")
    assert "the timeout that it met" in str(fault(connection, *statements).hint)


def test_what_lets_a_role_write_is_said(connection):
    statements = ("set default_transaction_read_only = on", "create table t ()")
    found = fault(connection, *statements)
    assert "PGOPTIONS='-c default_transaction_read_only=off'" in str(found.hint)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("53100", Incomplete),
        ("53300", Busy),
        ("XX001", Incomplete),
        ("25P04", Incomplete),
        ("22P05", Incomplete),
        ("57P01", ConnectionFailed),
    ],
)
def test_states_that_no_test_can_bring_about(state, expected):
    error = psycopg.errors.lookup(state)("said")
    assert type(to_sexton_error(error)) is expected


@pytest.mark.parametrize(
    "statement",
    ["select from chat_providers", "select from sexton.runs", "select * from no.chats"],
)
def test_a_missing_table_of_the_projects_is_the_wrong_schema(database, statement):
    with contextlib.closing(connect(database("empty"), name="tests")) as empty:
        assert isinstance(fault(empty, statement), WrongSchema)


def test_a_missing_column_of_the_projects_is_the_wrong_schema(database):
    with contextlib.closing(connect(database("0001"), name="tests")) as old:
        found = fault(old, "select c.deleted_at from chat_model_configs c")
        assert isinstance(found, WrongSchema)


def test_a_name_cannot_forge_a_line(connection):
    found = fault(connection, 'select from "chats\nok  all is well"')
    assert "\n" not in found.message
    assert "\x1b" not in fault(connection, 'select from "\x1b[2J"').message


def test_too_many_connections_is_busy(administrator, url):
    role = f"crowd_{os.getpid()}"
    administrator.execute(f"create role {role} {login(administrator)} connection limit 1")
    address = conninfo.make_conninfo(url, user=role)
    try:
        with (
            contextlib.closing(connect(address, name="tests")),
            pytest.raises(Busy, match="too many connections") as raised,
            database(address),
        ):
            pass
        assert "--jobs" in (raised.value.hint or "")
    finally:
        administrator.execute(f"drop role {role}")


def test_each_refusal_has_its_own_hint(url):
    # A server that wants passwords says nothing of which names exist.
    user = "password" if "password" in conninfo.conninfo_to_dict(url) else "the user"
    for changes, hint in (
        ({"dbname": "nowhere"}, "name of the database"),
        ({"user": "nobody_at_all"}, user),
        ({"port": "1"}, "the server is up"),
        ({"service": "nobody_at_all"}, "PGSERVICE"),
        ({"options": "-c nothing=1"}, "PGOPTIONS"),
        ({"connect_timeout": "soon"}, "PGCONNECT_TIMEOUT"),
        ({"sslmode": "maybe"}, "sslmode"),
    ):
        address = conninfo.make_conninfo(url, **changes)
        with pytest.raises(ConnectionFailed) as raised:
            connect(address, name="tests")
        assert hint in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('FATAL:  password authentication failed for user "x"', "password"),
        ("FATAL:  no pg_hba.conf entry for host", "pg_hba"),
        ("server does not support SSL, but SSL was required", "sslmode"),
        ("FATAL:  the database system is starting up", "try again"),
        ('FATAL:  unrecognized configuration parameter "x"', "PGOPTIONS"),
        ('definition of service "x" not found', "pg_service.conf"),
    ],
)
def test_refusals_in_libpqs_words(said, hint):
    found = to_connection_error(f'connection to server at "h" failed: {said}', "else")
    assert isinstance(found, ConnectionFailed)
    assert hint in (found.hint or "")


AT = 'connection to server at "127.0.0.1", port 15432 failed: FATAL:  '
UNENCRYPTED = 'no pg_hba.conf entry for host "127.0.0.1", user "app", database "chat"'


@pytest.mark.parametrize(
    ("first", "hint"),
    [
        ('password authentication failed for user "app"', "check user and password"),
        ('database "chat" does not exist', "check the name of the database"),
        ("too many connections for role", "fewer --jobs"),
    ],
)
def test_the_attempt_without_encryption_does_not_hide_the_reason(first, hint):
    """A server that takes TLS only, and libpq's default of sslmode=prefer."""
    said = f"connection failed: {AT}{first}\n{AT}{UNENCRYPTED}, no encryption"
    found = to_connection_error(said, "else")
    assert first in found.message
    assert "pg_hba" not in found.message
    assert hint in (found.hint or "")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_databases_of_other_encodings(administrator, encoding, monkeypatch):
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    name = f"sexton_{encoding.lower()}_{os.getpid()}"
    administrator.execute(
        f"create database {name} encoding '{encoding}' locale 'C' template template0"
    )
    try:
        known = administrator.info.get_parameters() | {
            "password": administrator.info.password or None,
            "dbname": name,
        }
        address = conninfo.make_conninfo("", **known)
        with contextlib.closing(connect(address, name="tests")) as there:
            there.execute("create table t (a text)")
            there.execute("insert into t values (%s)", ("plain",))
            if encoding == "LATIN1":
                there.execute("insert into t values (%s)", ("ä",))
                assert isinstance(fault(there, "insert into t values ('€')"), Incomplete)
                rows = there.execute("select a from t order by a").fetchall()
                assert [row["a"] for row in rows] == ["plain", "ä"]
            else:
                there.execute("insert into t values (convert_from('\\xff', 'SQL_ASCII'))")
                assert isinstance(fault(there, "select a from t"), Incomplete)
    finally:
        administrator.execute(f"drop database {name} with (force)")
