"""Whoever may create schemas, tables or functions gets nothing executed by a superuser.

The commands do their work, or refuse with one sentence; either way the intruder's code
does not run with their rights.
"""

import contextlib

import pytest

from sexton.database import connect
from tests.support.commands import CLAUDE, GPT, OLD, fill, team

TABLES = ("chat_providers", "chat_model_configs", "chats", "chat_messages")
SHOP = ("customers", "invoices", "addresses", "staff")
COMMANDS = f"""
    status
    audit --confirm-after 0
    repair --apply --max-fraction 1
    provider list
    provider update vercel --key-env SEXTON_TEST_KEY
    model update {OLD} --display-name x
    model promote {CLAUDE}
    provider delete openai --heir {CLAUDE}
    undo 1
    history
    guard add
    upgrade
    downgrade 0003
    upgrade
    adopt
    init --out -
    grants auditor --to x
    grants deployer --to x
    grants repairer --to x
"""
# The same of a team whose project file is in {config}, and its environment beside it.
TEAMS = """
    init --out -
    audit --config {config} --confirm-after 0
    repair --config {config} --apply --max-fraction 1
    guard add --config {config}
    undo 1 --config {config}
    history --config {config}
    alembic -c {folder}/alembic.ini upgrade head
    alembic -c {folder}/alembic.ini downgrade base
    grants repairer --to x --config {config}
"""


def shadows(schema, tables=TABLES):
    """The tables once more, with triggers, in a schema of the intruder's."""
    lines = [f"create schema {schema};"]
    for table in tables:
        name = f"{schema}.{table}"
        lines.append(
            f"create table {name} (like public.{table} including defaults);"
            f"alter table {name} add column t boolean default trap.spring();"
            f"create trigger t before insert or update or delete on {name} "
            "for each row execute function trap.row();"
            f"create trigger s after insert or update or delete on {name} "
            "for each statement execute function trap.row();"
            f"create policy p on {name} using (trap.spring());"
            f"alter table {name} enable row level security;"
            f"alter table {name} force row level security;"
        )
    return "\n".join(lines)


def views(schema, tables=TABLES):
    """The same as views, which run code as soon as they are read."""
    return f"create schema {schema};" + "".join(
        f"create view {schema}.{table} as select * from public.{table} where trap.spring();"
        for table in tables
    )


def readable(connection):
    fill(connection)
    connection.execute("grant select on all tables in schema public to public")


@pytest.mark.parametrize("kind", [shadows, views])
def test_tables_in_the_schema_of_the_superusers_name(scene, kind):
    play = scene("head", kind("SUPERUSER"), readable)
    assert 5 in play(COMMANDS).values()


@pytest.mark.parametrize("kind", [shadows, views])
def test_a_teams_tables_in_the_schema_of_the_superusers_name(scene, folder, kind):
    def prepare(connection):
        team(connection)
        connection.execute("grant select on all tables in schema public to public")

    play = scene("empty", kind("SUPERUSER", SHOP), prepare)
    typed = TEAMS.format(config=folder / "sexton.toml", folder=folder)
    assert 5 in play(typed).values()


VERSION = """
    create schema sexton;
    create table sexton.alembic_version (version_num varchar(32) primary key);
    create trigger t before insert or update or delete on sexton.alembic_version
        for each row execute function trap.row();
    create trigger s after insert or update or delete on sexton.alembic_version
        for each statement execute function trap.row();
"""
JOURNAL = """
    create schema sexton;
    create table sexton.runs (run bigint generated always as identity primary key,
        at timestamptz default now(), kind text, actor text, role text, os_user text,
        plan text, options jsonb, finished boolean, undone_by bigint, txid bigint,
        batched boolean, lost jsonb);
    create table sexton.changes (run bigint, step bigint, check_name text,
        table_name text, key jsonb, before jsonb, after jsonb, why text, relation oid,
        table_schema text, withheld text[], role text, txid bigint);
    create trigger t before insert or update on sexton.runs
        for each row execute function trap.row();
    create trigger t before insert or update on sexton.changes
        for each row execute function trap.row();
"""


@pytest.mark.parametrize("typed", [VERSION, JOURNAL])
@pytest.mark.parametrize("revision", ["empty", "upstream"])
def test_the_schema_sexton_of_somebody_else(scene, revision, typed):
    play = scene(revision, typed)
    codes = play(
        """
        upgrade
        adopt --apply
        status
        audit --confirm-after 0
        provider add google --key-env SEXTON_TEST_KEY
        provider delete google
        repair --apply
        history
        undo 1
        """
    )
    assert codes["upgrade"] in (4, 5)


def test_the_journal_of_somebody_else_gets_no_rows_of_a_step(scene, folder):
    play = scene("empty", JOURNAL, team)
    codes = play(TEAMS.format(config=folder / "sexton.toml", folder=folder))
    assert codes[f"alembic -c {folder}/alembic.ini upgrade head"] == 0
    with contextlib.closing(connect(play.url, name="tests")) as connection:
        assert connection.execute("select from sexton.changes").fetchall() == []


FUNCTIONS = """
    create function {schema}.{name}() returns trigger language plpgsql as
        $$ begin return new; end $$
"""
EVIL = """
    create or replace function {schema}.{name}() returns trigger language plpgsql as
        $$ begin perform trap.spring(); return new; end $$
"""


@pytest.mark.parametrize("name", ["stamp_run", "stamp_change", "keep_run"])
def test_the_journals_function_of_somebody_else(scene, intruder, name):
    """She may create in the schema, and was there before the journal."""
    names = {"schema": "sexton", "name": name}

    def invite(connection):
        fill(connection)
        connection.execute(f"grant usage, create on schema sexton to {intruder}")
        connection.execute("drop table if exists sexton.changes, sexton.runs")
        for made in ("stamp_run", "stamp_change", "keep_run"):
            connection.execute(f"drop function if exists sexton.{made}()")

    play = scene("head", FUNCTIONS.format(**names), invite)
    play(f"model promote {CLAUDE}")
    with contextlib.closing(connect(play.url, name="tests")) as connection:
        connection.execute(f"set role {intruder}")
        with contextlib.suppress(Exception):
            connection.execute(EVIL.format(**names))
    play(f"model promote {GPT}\nprovider delete openai --heir {CLAUDE}\nundo 2")


def test_the_guards_function_of_somebody_else(scene, intruder):
    names = {"schema": "public", "name": "sexton_guard"}
    play = scene("head", FUNCTIONS.format(**names), fill)
    play("guard add")
    with contextlib.closing(connect(play.url, name="tests")) as connection:
        connection.execute(f"set role {intruder}")
        with contextlib.suppress(Exception):
            connection.execute(EVIL.format(**names))
    play(f"provider delete openai --heir {CLAUDE}\nmodel update {GPT} --display-name y")
