"""What is reported is what happened, whatever the database has in store.

Each command that writes rows runs under each default isolation, beside each surprise. Done
means that the journal's last run tells exactly how the rows differ from before; anything
else means that they do not differ.
"""

import contextlib
import itertools
import os
import threading
import time

import pytest
from psycopg import conninfo, sql

from sexton.database import connect, rows
from tests.support.commands import CLAUDE, GPT, KEY, OLD, damage, fill
from tests.support.tools import Cli

ISOLATION = ["read committed", "repeatable read", "serializable"]
COMMANDS = {
    "provider delete": f"provider delete openai --heir {CLAUDE}",
    "provider disable": "provider disable openai",
    "provider update": "provider update openai --display-name new",
    "provider add": "provider add google --key-env SEXTON_TEST_KEY",
    "model delete": f"model delete {GPT}",
    "model update": f"model update {OLD} --display-name new",
    "model promote": f"model promote {CLAUDE}",
    "model reassign": f"model reassign {GPT} --to {CLAUDE}",
    "repair": "repair --apply --max-fraction 1",
}
SUPPRESS = """
    create function public.suppress() returns trigger language plpgsql as
        $$ begin return null; end $$;
    create trigger suppress before update or delete on chat_model_configs
        for each row execute function suppress();
    create trigger suppress before update or delete on chat_providers
        for each row execute function suppress();
"""
RULES = """
    create rule ignore_updates as on update to chat_model_configs do instead nothing;
    create rule ignore_deletes as on delete to chat_providers do instead nothing;
    create rule ignore_changes as on update to chat_providers do instead nothing;
"""
CASCADES = f"""
    alter table chat_model_configs add parent_id uuid
        references chat_providers (id) on delete cascade;
    update chat_model_configs c set parent_id = p.id
    from chat_providers p where p.provider = c.provider;
    create table prices (
        id int primary key, provider text not null,
        constraint prices_provider foreign key (provider)
            references chat_providers (provider) on delete cascade on update cascade
    );
    insert into prices values (1, 'openai');
    create table notes (
        id int primary key, model uuid references chat_model_configs (id) on delete set null
    );
    insert into notes values (1, '{GPT}'), (2, '{OLD}');
"""
HIDING = """
    alter table chat_model_configs enable row level security;
    create policy part on chat_model_configs using (model <> 'old');
    grant all on all tables in schema public to ROLE;
"""
OWN_ROWS = """
    alter table chat_model_configs enable row level security;
    create policy see on chat_model_configs for select using (true);
    create policy own on chat_model_configs for update using (created_by is not null);
    grant all on all tables in schema public to ROLE;
"""
REPLICA = "alter database DATABASE set session_replication_role = replica"
SHADOW = """
    create schema other; create table other.chat_model_configs
        (like public.chat_model_configs including all);
    create table other.chat_providers (like public.chat_providers including all);
"""
SURPRISES = {
    "nothing": "",
    "a suppressing trigger": SUPPRESS,
    "rules": RULES,
    "cascades": CASCADES,
    "hidden rows": HIDING,
    "rows that only some may change": OWN_ROWS,
    "triggers switched off": REPLICA,
    "tables of another schema": SHADOW,
}


@pytest.fixture(scope="module")
def other_role(administrator):
    """A role that owns nothing and meets row security."""
    name = f"other_{os.getpid()}"
    administrator.execute(f"create role {name} login password 'x'")
    yield name
    administrator.execute(f"drop role {name}")


@pytest.fixture
def scene(database, capfd, other_role, monkeypatch):
    """Prepare a database with a surprise: a command line, and a superuser's connection."""
    monkeypatch.setenv("SEXTON_TEST_KEY", KEY)
    with contextlib.ExitStack() as stack:

        def make(command, isolation, surprise):
            url = database("head")
            name = conninfo.conninfo_to_dict(url)["dbname"]
            connection = stack.enter_context(contextlib.closing(connect(url, name="tests")))
            (damage if command == "repair" else fill)(connection)
            # The journal is there: what is to be seen is not its making.
            assert Cli(url, capfd)("model", "promote", GPT).code in (0, 1)
            text = SURPRISES[surprise].replace("ROLE", other_role)
            connection.execute(text.replace("DATABASE", name))
            connection.execute(
                sql.SQL("alter database {} set default_transaction_isolation = {}").format(
                    sql.Identifier(name), sql.Literal(isolation)
                )
            )
            if surprise in ("hidden rows", "rows that only some may change"):
                connection.execute(
                    f"grant usage on schema sexton, public to {other_role};"
                    f"grant all on all tables in schema sexton to {other_role}"
                )
                url = conninfo.make_conninfo(url, user=other_role, password="x")
            if surprise == "tables of another schema":
                monkeypatch.setenv("PGOPTIONS", "-c search_path=public,other")
            return Cli(url, capfd), connection

        yield make


def everything(connection):
    """Every row of every table but Sexton's own, by table and key, secrets left out."""
    found = {}
    for table in rows(
        connection,
        """
        select c.oid::regclass::text as name, a.attname::text as key
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join lateral (
            select * from pg_index
            where indrelid = c.oid and indisunique and indpred is null
            order by indisprimary desc, indexrelid limit 1
        ) i on true
        join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
        where c.relkind = 'r' and n.nspname in ('public', 'other')
        """,
    ):
        name, key = table["name"], table["key"]
        for row in rows(connection, f"select to_jsonb(t) - 'api_key' as row from {name} t"):
            content = row["row"]
            found[name, str(content[key]), content.get("key")] = content
    return found


def reported(connection, run):
    """How rows changed according to the journal: the first before and the last after."""
    found = {}
    for row in rows(
        connection,
        "select table_name, key, before, after from sexton.changes where run = %s "
        "order by step",
        run,
    ):
        name = row["table_name"].removeprefix("public.")
        ids = row["key"]
        place = name, str(ids.get("id", ids.get("user_id", ids.get("key")))), ids.get("key")
        first = found.get(place, (row["before"], None))[0]
        found[place] = (first, row["after"])
    return found


def last_run(connection):
    [row] = rows(connection, "select coalesce(max(run), 0) as run from sexton.runs")
    return row["run"]


def differences(before, after):
    return {
        place: (before.get(place), after.get(place))
        for place in before.keys() | after.keys()
        if before.get(place) != after.get(place)
    }


def assert_reported(connection, before, result):
    """The journal's run tells how the rows differ: each of them, and no other."""
    after = everything(connection)
    happened, said = differences(before, after), reported(connection, last_run(connection))
    assert happened, "it says that it was done, and nothing differs"
    silent = {place for place in happened if place not in said}
    # A user's key is lost for good with its provider: the journal holds no keys.
    keys = {place for place in silent if place[0] == "user_chat_provider_keys"}
    assert not keys or "user key" in result.stdout
    assert silent == keys
    for place, (was, now) in said.items():
        actual = before.get(place), after.get(place)
        for tale, fact in zip((was, now), actual, strict=True):
            # An update's journal has the columns that changed, or the whole row.
            assert (tale is None) == (fact is None), (place, tale, fact)
            assert {**(fact or {}), **(tale or {})} == (fact or {}), place


def check(scene, command, isolation, surprise):
    sexton, connection = scene(command, isolation, surprise)
    before, run = everything(connection), last_run(connection)
    result = sexton(*COMMANDS[command].split())
    assert result.code in (0, 1, 3, 5, 6), result.stderr
    if result.code in (0, 1) and last_run(connection) > run:
        assert_reported(connection, before, result)
    else:
        assert result.code not in (0,), "done, and no run in the journal"
        assert differences(before, everything(connection)) == {}
        assert last_run(connection) == run
    return result


@pytest.mark.parametrize(
    ("command", "surprise"),
    list(itertools.product(COMMANDS, SURPRISES)),
)
def test_what_is_reported_is_what_happened(scene, command, surprise):
    check(scene, command, "read committed", surprise)


@pytest.mark.parametrize("isolation", ISOLATION[1:])
@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_the_default_isolation(scene, command, isolation):
    check(scene, command, isolation, "nothing")


@pytest.mark.parametrize("isolation", ISOLATION)
@pytest.mark.parametrize("command", ["provider delete", "provider disable", "model delete"])
def test_beside_a_writer_who_was_first(scene, command, isolation):
    """A config written under the provider while the command waits is not left behind."""
    sexton, connection = scene(command, isolation, "nothing")
    before = everything(connection)
    ready, results = threading.Event(), []
    url = sexton.url

    def write():
        with contextlib.closing(connect(url, name="the product")) as other:
            other.execute("begin isolation level read committed")
            other.execute(
                "select from chat_providers where provider = 'openai' for key share"
            )
            other.execute(
                "insert into chat_model_configs (provider, model, context_limit, "
                "compression_threshold) values ('openai', 'new', 1, 1)"
            )
            ready.set()
            time.sleep(0.4)
            results.append(everything(other))
            other.execute("commit")

    writer = threading.Thread(target=write)
    writer.start()
    ready.wait()
    result = sexton(*COMMANDS[command].split())
    writer.join()
    assert result.code in (0, 5, 6), result.stderr
    before = results[0]
    if result.code == 0:
        assert_reported(connection, before, result)
    else:
        assert differences(before, everything(connection)) == {}
    lost = rows(
        connection,
        "select model from chat_model_configs c where not deleted and not exists "
        "(select from chat_providers p where p.provider = c.provider)",
    )
    assert lost == []


@pytest.mark.parametrize("isolation", ISOLATION)
@pytest.mark.parametrize("command", COMMANDS)
def test_undo_restores_exactly_or_says_what_it_cannot(scene, command, isolation):
    sexton, connection = scene(command, isolation, "nothing")
    before = everything(connection)
    assert sexton(*COMMANDS[command].split()).code in (0, 1)
    made = everything(connection)
    result = sexton("undo", str(last_run(connection)))
    if result.code == 0:
        assert differences(before, everything(connection)) == {}
    elif result.code == 1:
        assert_reported(connection, made, result)
    else:
        assert result.code == 5
        assert differences(made, everything(connection)) == {}
