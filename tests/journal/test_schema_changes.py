"""The journal knows of each change of the schema, and which command reverts it."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from sexton import journal
from sexton.catalog import schema
from sexton.database import connect, scalar
from sexton.ddl import upgrade_lock
from sexton.journal.schema_changes import way_back
from sexton.upgrade.run import upgrade
from tests.support.project import HEAD, above
from tests.support.tools import Cli, login
from tests.support.upstream import build_upstream


def kinds(connection):
    return [run["kind"] for run in reversed(journal.list_runs(connection))]


def test_up_down_and_guards_are_runs(from_nothing):
    sexton, connection = from_nothing
    for words in (
        "upgrade 0002",
        "upgrade",
        "upgrade",
        "guard add",
        "guard add",
        "guard remove",
        "downgrade 0003",
    ):
        assert sexton(*words.split()).code == 0, words
    done = ["upgrade", "upgrade", "guard add", "guard remove", "downgrade"]
    assert kinds(connection) == done
    second = journal.get_run(connection, 2)
    assert second["options"] == {"from": "0002", "to": HEAD, "moves": above("0002")}
    assert second["finished"]
    shown = sexton("history", "2").stdout
    assert "run 2: upgrade" in shown
    assert f"to={HEAD}" in shown
    assert sexton("history").stdout.count("upgrade") == 2


@pytest.mark.parametrize(
    ("number", "command"),
    [
        ("1", "sexton downgrade base"),
        ("2", "sexton downgrade 0002"),
        ("3", "sexton guard remove"),
        ("4", f"sexton upgrade {HEAD}"),
    ],
)
def test_an_undo_names_the_command_that_takes_it_back(from_nothing, number, command):
    sexton, connection = from_nothing
    for words in ("upgrade 0002", "upgrade", "guard add", "downgrade 0003"):
        assert sexton(*words.split()).code == 0, words
    refused = sexton("undo", number)
    assert refused.code == 5
    assert f"next: {command}\n" in refused.stderr
    assert len(journal.list_runs(connection)) == 4


def test_what_a_journal_says_becomes_no_command():
    for said in ("0001; rm -rf x", "--force", "$(id)", "`id`", "a\nb"):
        run = {"run": 7, "kind": "upgrade", "options": {"from": said}}
        assert way_back(run) == "sexton history 7"
        run = {"run": 7, "kind": "guard add", "options": {"references": [said]}}
        assert way_back(run) == "sexton history 7"
    run = {"run": 7, "kind": "guard add", "options": {"references": ["a(b, c)"]}}
    assert way_back(run) == "sexton guard remove 'a(b, c)'"


def test_an_adoption_is_a_run_once(from_nothing):
    sexton, connection = from_nothing
    build_upstream(connection)
    assert sexton("adopt", "--apply").code == 0
    assert sexton("adopt", "--apply").code == 0
    assert kinds(connection) == ["adopt"]
    assert sexton("undo", "1").code == 5


def test_a_downgrade_to_the_base_is_a_run(from_nothing):
    sexton, connection = from_nothing
    assert sexton("upgrade").code == 0
    assert sexton("downgrade", "base").code == 0
    assert kinds(connection) == ["upgrade", "downgrade"]


def test_where_the_journal_may_not_be_written_the_change_is_made_and_said(from_nothing):
    sexton, connection = from_nothing
    assert sexton("upgrade", "0002").code == 0
    connection.execute(
        "create function public.no() returns trigger language plpgsql as "
        "$$ begin raise 'no room'; end $$;"
        "create trigger no before insert on sexton.runs execute function public.no()"
    )
    result = sexton("upgrade")
    assert result.code == 0
    assert "done, but not in the journal: no room" in result.stderr
    assert schema.revision(connection) == HEAD
    assert kinds(connection) == ["upgrade"]


def test_a_downgrade_that_is_ended_says_where_the_database_is(from_nothing):
    sexton, connection = from_nothing
    assert sexton("upgrade").code == 0
    with contextlib.closing(connect(sexton.url, name="tests")) as other:
        other.execute("begin; insert into chat_providers (provider) values ('openai')")
        command = [sys.executable, "-m", "sexton", "downgrade", "0001", "--url", sexton.url]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        at_work = "select count(*) from pg_stat_activity where application_name = %s"
        while not scalar(connection, at_work, upgrade_lock.NAME):
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        other.execute("rollback")
    assert process.returncode == 3, said
    assert f"the database is at {schema.revision(connection)}" in said
    if schema.revision(connection) != HEAD:
        assert not journal.list_runs(connection)[0]["finished"]
    assert sexton("downgrade", "0001").code == 0
    assert scalar(connection, "select count(*) from chat_providers") == 0


def test_a_role_that_may_not_write_it_hears_so_only_where_there_is_something_to_do(
    database, administrator, capfd
):
    url = database("empty")
    role = f"owner_{os.getpid()}"
    administrator.execute(f"create role {role} {login(administrator)}")
    sexton = Cli(f"{url} user={role}", capfd)
    with contextlib.closing(connect(url, name="tests")) as connection:
        try:
            upgrade(connection, "0003")
            connection.execute(
                f"""
                do $$declare one regclass; begin
                    for one in select oid from pg_class
                        where relkind = 'r' and relnamespace = 'public'::regnamespace
                    loop execute format('alter table %s owner to {role}', one); end loop;
                end$$;
                grant create on schema public to {role};
                grant usage on schema sexton to {role};
                grant select, insert, update, delete on sexton.alembic_version to {role}
                """
            )
            for words in ("upgrade", "guard add", "guard remove"):
                said = []
                for _ in range(2):
                    result = sexton(*words.split())
                    assert result.code == 0, result
                    said.append("not be in the journal" in result.stderr)
                assert said == [True, False], words
            assert sexton("upgrade", "--guard").code == 0
            assert "journal" in sexton("guard", "remove").stderr
            assert kinds(connection) == ["upgrade"]
        finally:
            connection.execute(f"reassign owned by {role} to postgres")
            connection.execute(f"drop owned by {role}")
            administrator.execute(f"drop role {role}")
