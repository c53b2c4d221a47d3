"""Changes that journal themselves: what the journal then holds, and for whom."""

import pytest

from sexton import journal
from sexton.catalog.tables import VALUE_SETTINGS, read_tables
from sexton.database import rows, scalar, settings
from sexton.journal.recorder import Recorder, deleting, inserting, updating

ODD = """
    create table odd (
        id int primary key,
        "100% 'sure'" text default 'x',
        api_key text not null default '',
        base_url text not null default '',
        plain json,
        binary_json jsonb,
        span interval,
        place point,
        bytes bytea,
        amount numeric,
        at timestamptz,
        twice int generated always as (id * 2) stored
    );
"""


@pytest.fixture
def recorded(connection):
    """A recorder in a run on the table `odd`, which has columns of all kinds."""
    connection.execute(ODD)
    connection.execute(
        """
        insert into odd (id, api_key, base_url, plain, binary_json, span, amount, at, bytes)
        values
            (1, 'sk', 'https://me:secret@host', '{"a":  1, "a": 2}', 'null',
             '1 mon 2 days', 0.123456789012345678901234567890, 'infinity', '\\x00ff'),
            (2, '', 'https://host', null, null, null, null, '0044-03-15 BC', null)
        """
    )
    with connection.transaction(), settings(connection, VALUE_SETTINGS):
        table = read_tables(connection, ["odd"])["odd"]
        yield Recorder(connection, journal.begin_run(connection, "test")), table


def journalled(connection):
    return rows(connection, "select * from sexton.changes order by run, step")


def test_an_update_holds_both_rows_as_the_server_has_them(recorded):
    recorder, table = recorded
    change = updating(
        table,
        {"100% 'sure'": "%(new)s", "api_key": "'sk-2'"},
        "this.id = any (%(ids)s)",
        why="because",
        parameters={"new": "y", "ids": [1, 2]},
        returning={"id": "this.id", "twice": "this.twice"},
    )
    made = recorder.make(change)
    assert sorted(made, key=lambda row: row["id"]) == [
        {"id": 1, "twice": 2},
        {"id": 2, "twice": 4},
    ]
    first, second = journalled(recorder.connection)
    assert (first["key"], second["key"]) == ({"id": 1}, {"id": 2})
    assert (first["before"]["100% 'sure'"], first["after"]["100% 'sure'"]) == ("x", "y")
    assert first["before"]["span"] == "1 mon 2 days"
    assert first["before"]["at"] == "infinity"
    assert first["before"]["plain"] == '{"a":  1, "a": 2}'
    assert first["before"][""] == ["binary_json"]
    assert first["before"]["bytes"] == "\\x00ff"
    assert "" not in second["before"]
    assert second["before"]["at"].endswith(" BC")
    assert "twice" not in first["before"]
    amount = "select before ->> 'amount' from sexton.changes where step = 1"
    assert scalar(recorder.connection, amount) == "0.123456789012345678901234567890"


def test_secrets_stay_out_and_what_they_cost_is_said(recorded):
    recorder, table = recorded
    recorder.make(updating(table, {"base_url": "'x'"}, "true", why=""))
    recorder.make(deleting(table, "true", why=""))
    whole = str(journalled(recorder.connection))
    assert "sk" not in whole
    assert "secret" not in whole
    withheld = [row["withheld"] for row in journalled(recorder.connection)]
    assert withheld == [["base_url"], [], ["api_key"], []]
    assert "base_url" not in journalled(recorder.connection)[0]["before"]


def test_an_insert_has_no_before_and_numbers_go_on(recorded):
    recorder, table = recorded
    recorder.make(deleting(table, "this.id = 1", why="gone"))
    change = inserting(
        table, ["id"], "values (7), (8)", why="new", returning={"id": "this.id"}
    )
    made = recorder.make(change)
    assert sorted(row["id"] for row in made) == [7, 8]
    steps = [(c["step"], c["before"] is None) for c in journalled(recorder.connection)]
    assert steps == [(1, False), (2, True), (3, True)]


def both(table, first):
    """Row 1 loses its key, if it is the one that is meant; then row 2 goes."""
    shown = {"id": "this.id", "done": "this.api_key = ''"}
    keyless = updating(
        table, {"api_key": "''"}, "this.id = %(first)s", why="keyless",
        parameters={"first": first}, returning=shown,
    )  # fmt: skip
    gone = deleting(table, "this.id = 2", why="gone", returning=shown)
    return [(keyless, 1), (gone, 1)]


def test_changes_of_one_statement_are_journalled_in_their_order(recorded):
    recorder, table = recorded
    made = recorder.make_all(both(table, 1))
    assert made == [[{"id": 1, "done": True}], [{"id": 2, "done": True}]]
    assert [
        (c["step"], c["key"]["id"], c["why"]) for c in journalled(recorder.connection)
    ] == [
        (1, 1, "keyless"),
        (2, 2, "gone"),
    ]


def test_a_change_waits_for_those_before_it(recorded):
    """None that follows one that did not end as it should is made."""
    recorder, table = recorded
    assert recorder.make_all(both(table, 3)) == [[], []]
    assert journalled(recorder.connection) == []
    assert scalar(recorder.connection, "select count(*) from odd") == 2


def test_changes_of_one_statement_share_no_parameter_by_mistake(recorded):
    recorder, table = recorded
    changes = [
        deleting(table, "this.id = %(id)s", why="", parameters={"id": id}) for id in (1, 2)
    ]
    with pytest.raises(ValueError, match="a parameter id"):
        recorder.make_all([(change, 1) for change in changes])


def test_without_a_journal_nothing_is_recorded(recorded):
    recorder, table = recorded
    silent = Recorder(recorder.connection, None)
    assert len(silent.make(deleting(table, "this.id = 1", why=""))) == 1
    assert journalled(recorder.connection) == []


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
    from sexton.errors import Refused

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
    from sexton.errors import Refused

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
