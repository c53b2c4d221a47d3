"""Relations are judged by kind, owner and types: no view, cast or domain runs its code.

The intruder may create objects in `public`, and owns tables that commands read and write;
a superuser types the commands.
"""

import contextlib

import psycopg
import pytest

from sexton.audit.limits import hide
from sexton.catalog.relations import resolve
from sexton.database import connect
from tests.support.commands import CLAUDE, rows_alone, team

# Functions that spring the trap, for each place that wants one of a certain shape.
FUNCTIONS = """
    create function public.spring_text() returns text language plpgsql as
        $$ begin perform trap.spring(); return 'x'; end $$;
    create function public.spring_fixed(int) returns int language plpgsql immutable as
        $$ begin perform trap.spring(); return 1; end $$;
    create function public.spring_check(text) returns boolean language plpgsql as
        $$ begin return trap.spring(); end $$;
    create function public.spring_row() returns trigger language plpgsql as $$
        begin
            perform trap.spring();
            if tg_op = 'DELETE' then return old; end if;
            return new;
        end $$;
    create type public.mood as enum ('a', 'b');
    create function public.mood_json(public.mood) returns json language plpgsql as
        $$ begin perform trap.spring(); return '1'; end $$;
    create function public.mood_text(public.mood) returns text language plpgsql as
        $$ begin perform trap.spring(); return 'a'; end $$;
"""
CASTS = """
    create cast (public.mood as json) with function public.mood_json(public.mood);
    create cast (public.mood as text) with function public.mood_text(public.mood)
        as implicit;
"""
DOMAIN = "create domain public.checked as text check (public.spring_check(value));"
# The server's own functions run any statement that they are given, too.
QUERY = """
    create domain public.checked as text check (
        pg_catalog.ts_rewrite('a'::tsquery,
            'select ''a''::tsquery, ''b''::tsquery where trap.spring()') is not null);
"""
SETTINGS = """
    create table public.site_configs (key {key} primary key, value text{more});
    insert into public.site_configs (key, value) values ('a', '1');
"""


def settings(key="text", more=""):
    """The product's table of settings, as the intruder makes it."""
    return SETTINGS.format(key=key, more=more)


READ = {
    "view": """
        create view public.site_configs as
            select public.spring_text() as key, '1'::text as value;
        create view public.chat_queued_messages as
            select 1::bigint as id, gen_random_uuid() as chat_id,
                public.spring_text() as content, gen_random_uuid() as model_config_id;
    """,
    "materialized view": """
        create materialized view public.site_configs as
            select 'a'::text as key, '1'::text as value;
    """,
    "cast": CASTS + settings("public.mood"),
    "cast of an array": CASTS + settings(more=", moods public.mood[] default '{a}'"),
    "cast of a domain": CASTS
    + "create domain public.feeling as public.mood;"
    + settings("public.feeling"),
    "domain": DOMAIN + settings(more=", note public.checked"),
    "domain, by the server's own function": QUERY + settings(more=", note public.checked"),
    "composite": DOMAIN
    + "create type public.pair as (a public.checked, b int);"
    + settings(more=", note public.pair"),
    "range": """
        create function public.spring_diff(int, int) returns float8 language plpgsql
            immutable as $$ begin perform trap.spring(); return 1; end $$;
        create type public.span as range (subtype = int, subtype_diff = public.spring_diff);
    """
    + settings(more=", span public.span"),
    "index": settings()
    + "create index on public.site_configs (key, (public.spring_fixed(1)));",
    "index predicate": settings()
    + "create index on public.site_configs (key) where public.spring_fixed(1) = 1;",
    "statistics": settings()
    + "create statistics public.s on (public.spring_fixed(1)), key from site_configs;",
    "inherited": settings()
    + """
        create table public.more (note text) inherits (public.site_configs);
        alter table public.more add check (public.spring_fixed(1) = 1);
    """,
    "partition": """
        create table public.site_configs (key text, value text) partition by list (key);
        create table public.part partition of public.site_configs default;
        create index on public.part ((public.spring_fixed(1)));
    """,
}
WRITTEN = {
    "trigger": settings()
    + """
        create trigger t before insert or update or delete on public.site_configs
            for each row execute function public.spring_row();
    """,
    "default": settings(more=", note text default public.spring_text()"),
    "check": settings() + "alter table public.site_configs add check "
    "(pg_catalog.ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery "
    "where trap.spring()') is not null) not valid;",
    "generated": settings(
        more=", note int generated always as (public.spring_fixed(1)) stored"
    ),
    "rule": settings()
    + """
        create rule r as on update to public.site_configs
            do also select public.spring_text();
    """,
}
COMMANDS = f"""
    audit --confirm-after 10ms
    audit --confirm-after 0 -j 2 --recheck
    explain threshold_dangling
    repair
    repair --apply --max-fraction 1 --allow-triggers
    provider delete openai --dry-run
    provider delete openai --heir {CLAUDE}
    model promote {CLAUDE}
    status
    adopt
    grants repairer --to x
    history
"""


@pytest.mark.parametrize("typed", READ.values(), ids=READ)
def test_absent_tables_made_by_a_stranger_are_not_read(scene, intruder, typed):
    play = scene("head", FUNCTIONS + typed, rows_alone)
    codes = play(COMMANDS)
    assert codes["audit --confirm-after 10ms"] == 3
    assert codes["repair"] == 5
    assert codes["provider delete openai --dry-run"] == 5
    said = play.said["provider delete openai --dry-run"]
    assert intruder in said
    assert "public.site_configs" in said or "public.chat_queued_messages" in said
    assert f"--trust-owner {intruder}" in said


@pytest.mark.parametrize("typed", WRITTEN.values(), ids=WRITTEN)
def test_absent_tables_made_by_a_stranger_are_not_written(scene, typed):
    play = scene("head", FUNCTIONS + typed, rows_alone)
    codes = play(COMMANDS)
    assert codes[f"provider delete openai --heir {CLAUDE}"] == 5


def test_a_trusted_owner_s_view_is_read(scene, intruder, capfd):
    view = "create view public.site_configs as select 'a'::text as key, '1'::text as value;"
    play = scene("head", view, rows_alone)
    codes = play(
        f"""
        audit --confirm-after 0
        audit --confirm-after 0 --trust-owner {intruder}
        provider delete openai --dry-run
        provider delete openai --dry-run --trust-owner {intruder}
        """
    )
    assert list(codes.values()) == [3, 0, 5, 0]


# What is harmless does not make a table of a stranger's unreadable.
HARMLESS = """
    create domain public.address as text check (value ~ '@' and value <> '');
    create domain public.dated as timestamptz
        check (value > '2000-01-01' and value < now());
    create type public.mood as enum ('a', 'b');
    create type public.pair as (a public.address, b public.mood);
    create table public.site_configs (key text primary key, value text,
        a public.address, b public.dated, c public.mood, d public.pair[],
        made timestamptz default now(), n int check (n > 0),
        length int generated always as (length(value)) stored);
    create index on public.site_configs (lower(key)) where value <> '';
"""


def test_plain_tables_and_types_of_a_stranger_are_read(scene):
    play = scene("head", HARMLESS, rows_alone)
    codes = play(
        f"""
        audit --confirm-after 0
        repair
        provider delete openai --heir {CLAUDE}
        """
    )
    assert list(codes.values()) == [0, 0, 0]


OWNED = {
    "cast": CASTS + "alter table public.invoices add mood public.mood default 'a';",
    "domain": DOMAIN + "alter table public.invoices add note public.checked;",
    "domain, by the server's own function": QUERY
    + "alter table public.invoices add note public.checked;",
    "index": "create index on public.invoices ((public.spring_fixed(1)));",
}
ONLY_WRITTEN = {
    "trigger": """
        create trigger t after update on public.invoices
            for each row execute function public.spring_row();
    """,
    "deferred trigger of a cascade": """
        create table public.mine (id int primary key, invoice bigint
            references public.invoices on delete cascade on update cascade);
        create trigger t after delete or update on public.mine
            for each row execute function public.spring_row();
    """,
}
TEAM = """
    audit --config {config}
    audit --config {config} --confirm-after 0 --recheck -j 2
    repair --config {config}
    repair --config {config} --apply --max-fraction 1 --allow-triggers --allow-cascades
    guard add --config {config}
    undo 1 --config {config} --allow-triggers --allow-cascades
    alembic -c {folder}/alembic.ini upgrade head
    upgrade --config {config} --plan
    upgrade --config {config}
    grants repairer --to x --config {config}
"""


@pytest.mark.parametrize("typed", (OWNED | ONLY_WRITTEN).values(), ids=OWNED | ONLY_WRITTEN)
def test_an_untrusted_owner_of_a_declared_table(scene, folder, intruder, typed):
    def prepare(connection):
        team(connection)
        connection.execute(f"grant create on schema public to {intruder}")
        connection.execute(f"alter table public.invoices owner to {intruder}")

    play = scene("empty", FUNCTIONS + typed, prepare)
    names = {"config": folder / "sexton.toml", "folder": folder}
    codes = play(TEAM.format(**names))
    apply = "repair --config {config} --apply --max-fraction 1 --allow-triggers"
    assert codes[f"{apply.format(**names)} --allow-cascades"] == 5
    if typed in OWNED.values():
        assert codes["audit --config {config}".format(**names)] == 3
        assert codes["repair --config {config}".format(**names)] == 5


VERSIONS = {
    "trigger": """
        create table public.alembic_version (version_num varchar(32) primary key);
        create trigger t before insert or update or delete on public.alembic_version
            for each row execute function public.spring_row();
    """,
    "statement trigger": """
        create table public.alembic_version (version_num varchar(32) primary key);
        create trigger t after insert or update or delete on public.alembic_version
            for each statement execute function public.spring_row();
    """,
    "rule": """
        create table public.alembic_version (version_num varchar(32) primary key);
        create rule r as on insert to public.alembic_version
            do also select public.spring_text();
    """,
    "view": """
        create view public.alembic_version as
            select public.spring_text()::varchar(32) as version_num where false;
    """,
    "index": """
        create table public.alembic_version (version_num varchar(32) primary key);
        create index on public.alembic_version ((public.spring_fixed(1)));
    """,
    "plain": """
        create table public.alembic_version (version_num varchar(32) primary key);
    """,
}


@pytest.mark.parametrize("typed", VERSIONS.values(), ids=VERSIONS)
def test_a_version_table_that_a_stranger_made(scene, folder, intruder, typed):
    grant = "grant all on public.alembic_version to public;"
    play = scene("empty", FUNCTIONS + typed + grant, team)
    names = {"config": folder / "sexton.toml", "folder": folder}
    codes = play(
        """
        upgrade --plan --config {config}
        upgrade --config {config}
        status --config {config}
        revision -m x --config {config}
        downgrade base --config {config}
        alembic -c {folder}/alembic.ini current
        alembic -c {folder}/alembic.ini upgrade head
        """.format(**names)
    )
    assert set(codes.values()) == {5, 1}
    for command in ("upgrade --plan", "upgrade", "status"):
        assert codes[f"{command} --config {names['config']}"] == 5
    with contextlib.closing(connect(play.url, name="tests")) as connection:
        assert connection.execute("select to_regclass('by_boss')").fetchone() == {
            "to_regclass": None
        }


def test_a_journal_that_is_a_view(scene):
    play = scene(
        "empty",
        """
        create schema sexton;
        create view sexton.runs as select 1 as run, trap.spring() as at, 'x' as actor,
            'x' as role, 'x' as os_user, 'x' as kind, 'x' as plan, '{}'::jsonb as options,
            true as finished, '[]'::jsonb as lost, null::bigint as undone_by;
        create view sexton.changes as select 1 as run, trap.spring() as step;
        """,
    )
    codes = play("history\nhistory 1\nundo 1")
    assert list(codes.values()) == [5, 5, 5]


@pytest.mark.parametrize("kind", ["table", "view"])
def test_a_view_exchanged_for_a_table_after_it_was_judged_is_not_read(connection, kind):
    made = {"table": "(a int)", "view": "as select 1 as a"}[kind]
    with connection.transaction(force_rollback=True):
        connection.execute(f"create {kind} public.swapped {made}")
        hide(connection, resolve(connection, ["swapped"]).values())
        connection.execute(
            f"drop {kind} public.swapped; create view public.swapped as select 2 as a"
        )
        query = "select a from public.swapped"
        if kind == "view":  # one that its owner may change was meant
            assert connection.execute(query).fetchall() == [{"a": 2}]
            return
        with pytest.raises(psycopg.Error, match="restricted"):
            connection.execute(query)
