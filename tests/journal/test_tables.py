"""The journal's tables are ours, or their owners'."""

import pytest

from sexton import journal
from sexton.database import rows
from sexton.errors import Incomplete, Refused


def test_who_and_when_are_the_servers_word(connection):
    with connection.transaction():
        run = journal.begin_run(connection, "test")
    connection.execute(
        "insert into sexton.runs (kind, actor, os_user, role, at, txid) "
        "values ('repair', 'dba', 'dba', 'dba', 'infinity', 7)"
    )
    connection.execute("update sexton.runs set role = 'dba', at = 'infinity'")
    found = rows(connection, "select role = session_user as own, txid, at from sexton.runs")
    assert all(row["own"] and row["txid"] > 7 for row in found)
    assert run == 1


def test_a_stranger_s_schema_is_refused(connection):
    connection.execute("drop schema sexton cascade; create role sexton_intruder")
    try:
        connection.execute("create schema sexton authorization sexton_intruder")
        with pytest.raises(Refused, match="sexton_intruder"), connection.transaction():
            journal.begin_run(connection, "test")
        with connection.transaction():
            journal.begin_run(connection, "test", owners=["sexton_intruder"])
    finally:
        connection.execute("drop owned by sexton_intruder cascade")
        connection.execute("drop role sexton_intruder")


def test_a_stranger_s_function_in_a_schema_of_ours_is_refused(connection):
    connection.execute("create role sexton_intruder")
    try:
        connection.execute("grant create, usage on schema sexton to sexton_intruder")
        connection.execute(
            """
            set role sexton_intruder;
            create function sexton.stamp_run() returns trigger language plpgsql
                as 'begin return new; end';
            reset role;
            """
        )
        with pytest.raises(Refused, match="sexton_intruder"), connection.transaction():
            journal.begin_run(connection, "test")
    finally:
        connection.execute("drop owned by sexton_intruder cascade")
        connection.execute("drop role sexton_intruder")


def test_a_member_of_the_tables_owner_may_have_made_the_journal(connection):
    connection.execute(
        """
        create role sexton_owner;
        create role sexton_deployer in role sexton_owner;
        drop schema sexton cascade;
        create schema sexton authorization sexton_deployer;
        """
    )
    try:
        with connection.transaction():
            journal.begin_run(connection, "test", owners=["sexton_owner"])
    finally:
        connection.execute("drop owned by sexton_deployer, sexton_owner cascade")
        connection.execute("drop role sexton_deployer, sexton_owner")


def test_a_role_that_may_make_nothing_else_writes_a_journal_made_for_it(connection):
    name = connection.info.dbname
    connection.execute(
        f"""
        drop schema sexton cascade;
        create role sexton_app;
        revoke create on database {name} from public;
        """
    )
    try:
        connection.execute("set role sexton_app")
        with pytest.raises(Incomplete) as refused, connection.transaction():
            journal.begin_run(connection, "test")
        connection.execute("reset role")
        connection.execute(refused.value.hint.rpartition("type: ")[2])
        connection.execute("set role sexton_app")
        with connection.transaction():
            assert journal.begin_run(connection, "test") == 1
    finally:
        connection.execute("reset role")
        connection.execute("drop owned by sexton_app cascade; drop role sexton_app")
