"""The journal's tables are a trusted owner's."""

import pytest

from sexton import journal
from sexton.database import rows
from sexton.errors import Incomplete, Refused
from sexton.postgres import trust


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


def test_a_stranger_s_schema_is_refused(connection, monkeypatch):
    connection.execute("drop schema sexton cascade; create role sexton_intruder")
    try:
        connection.execute("create schema sexton authorization sexton_intruder")
        with pytest.raises(Refused, match="sexton_intruder"), connection.transaction():
            journal.begin_run(connection, "test")
        monkeypatch.setattr(trust, "named", frozenset({"sexton_intruder"}))
        with connection.transaction():
            journal.begin_run(connection, "test")
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


def test_the_owner_of_a_table_that_changes_may_not_have_made_the_journal(connection):
    connection.execute(
        """
        create role sexton_owner;
        grant create on schema public to sexton_owner;
        alter table chats owner to sexton_owner;
        drop schema sexton cascade;
        create schema sexton authorization sexton_owner;
        """
    )
    try:
        with pytest.raises(Refused) as caught, connection.transaction():
            journal.begin_run(connection, "test")
        assert "--trust-owner sexton_owner" in str(caught.value.hint)
    finally:
        connection.execute("reassign owned by sexton_owner to current_user")
        connection.execute("drop owned by sexton_owner cascade; drop role sexton_owner")


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
