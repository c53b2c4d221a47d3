"""Up and down again: refused with reasons, planned truthfully, and nothing is lost."""

import contextlib
import os
import subprocess
import sys

import pytest

from sexton.catalog import schema
from sexton.chat import schema as chat_schema
from sexton.chat.deletion import DeleteProvider
from sexton.chat.operation import run
from sexton.database import connect, rows, scalar
from sexton.embedded.programs import wheel
from sexton.errors import Refused
from sexton.upgrade.drift import drift
from sexton.upgrade.run import Options, downgrade, upgrade
from tests.support.tools import add_chat, add_model, add_provider, table

DISABLE = Options(choices=frozenset({"tombstones=disable"}))


@pytest.fixture
def history(connection):
    """A deleted provider whose config was the default, and a chat on it."""
    for name in ("anthropic", "openai"):
        add_provider(connection, name)
    add_model(connection, "anthropic", "a")
    old = add_model(connection, "openai", "b", is_default=True)
    add_chat(connection, old)
    run(connection, DeleteProvider("openai"))
    return old


def test_nothing_to_do_is_said(sexton):
    result = sexton("upgrade")
    assert (result.code, result.stdout) == (0, "at 0004 already: nothing to do\n")
    assert sexton("upgrade", "--plan").code == 0


@pytest.mark.usefixtures("history")
def test_down_to_0001_without_a_choice_is_refused(sexton, connection):
    assert sexton("downgrade", "0002").code == 0
    result = sexton("downgrade", "0001")
    assert result.code == 5
    assert "tombstones would come back to life" in result.stderr
    assert "openai/b" in result.stderr
    assert "--tombstones disable" in result.stderr
    assert schema.revision(connection) == "0002"
    assert scalar(connection, "select count(*) from chat_model_configs where deleted") == 1


def test_all_the_way_down_and_up_gives_back_every_row(connection, url, history):
    before = [table(connection, name) for name in ("chat_model_configs", "chat_providers")]
    assert downgrade(connection, url, "0001", DISABLE) == ["0004", "0003", "0002"]
    [config] = rows(connection, "select * from chat_model_configs where id = %s", history)
    assert config["enabled"] is False
    assert "deleted" not in config
    upgrade(connection, url)
    after = [table(connection, name) for name in ("chat_model_configs", "chat_providers")]
    assert after == before
    ours = rows(
        connection,
        "select tablename from pg_tables where schemaname = 'sexton' order by tablename",
    )
    assert [row["tablename"] for row in ours] == ["alembic_version", "changes", "runs"]


def test_a_half_set_tombstone_comes_back_as_it_was(connection, url):
    add_provider(connection, "openai")
    add_model(connection, "openai", "no time", deleted=True)
    add_model(connection, "openai", "no flag", deleted_at="2026-01-01T00:00:00Z")
    before = table(connection, "chat_model_configs")
    downgrade(connection, url, "0001", DISABLE)
    upgrade(connection, url)
    assert table(connection, "chat_model_configs") == before


def test_a_config_that_was_enabled_meanwhile_stays_alive(connection, url, history):
    downgrade(connection, url, "0001", DISABLE)
    connection.execute(
        "update chat_model_configs set enabled = true where id = %s", (history,)
    )
    upgrade(connection, url)
    [config] = rows(connection, "select * from chat_model_configs where id = %s", history)
    assert (config["deleted"], config["enabled"]) == (False, True)
    assert drift(connection) == []


FILLED = {
    "enabled": "update chat_providers set enabled = true where provider = 'openai'",
    "updated": "update chat_providers set updated_at = now() where provider = 'openai'",
    "given a key": "update chat_providers set api_key = 'k' where provider = 'openai'",
    "given a user's key": """
        insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)
        select gen_random_uuid(), id, 'k' from chat_providers where provider = 'openai'
    """,
    "given a config": """
        insert into chat_model_configs
            (provider, model, context_limit, compression_threshold)
        values ('openai', 'new', 1, 1)
    """,
    "given another's config": """
        update chat_model_configs set provider = 'openai' where provider = 'anthropic'
    """,
}


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("filled", FILLED)
def test_a_stub_that_somebody_filled_is_kept(connection, url, filled):
    downgrade(connection, url, "0003")
    connection.execute(FILLED[filled])
    upgrade(connection, url)
    kept = "select count(*) from chat_providers where provider = 'openai'"
    assert scalar(connection, kept) == 1


@pytest.mark.usefixtures("history")
def test_a_stub_that_nobody_touched_goes_and_the_key_is_valid_meanwhile(connection, url):
    downgrade(connection, url, "0003")
    [key] = chat_schema.provider_keys(connection)
    assert key["valid"]
    stub = "select enabled from chat_providers where provider = 'openai'"
    assert scalar(connection, stub) is False
    upgrade(connection, url)
    assert rows(connection, stub) == []


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (
            "update chat_model_configs set provider = 'legacy-removed' where deleted",
            "'legacy-removed' (",
        ),
        (
            "update chat_model_configs set provider = ' OpenAI' where deleted",
            "; did it mean 'openai'?)",
        ),
        (
            "alter table chat_providers drop constraint chat_providers_provider_key",
            "chat_providers.provider is not unique",
        ),
        (
            "alter table chat_providers add column region text; "
            "update chat_providers set region = ''; "
            "alter table chat_providers alter column region set not null",
            "have no default (region)",
        ),
    ],
)
def test_preflight_of_a_downgrade_says_what_would_make_it_fail(
    sexton, connection, prepare, said
):
    connection.execute(prepare)
    before = table(connection, "chat_providers")
    planned = sexton("downgrade", "0003", "--plan")
    assert planned.code == 5
    assert said in planned.stdout
    result = sexton("downgrade", "0003")
    assert result.code == 5
    assert said in result.stderr
    assert schema.revision(connection) == "0004"
    assert table(connection, "chat_providers") == before


def test_preflight_of_an_upgrade_warns_of_orphans_and_half_tombstones(database, sexton):
    sexton.url = database("0003")
    with contextlib.closing(connect(sexton.url, name="tests")) as connection:
        add_provider(connection, "openai")
        add_model(connection, "openai", deleted=True)
        connection.execute(
            """
            alter table chat_model_configs
                drop constraint chat_model_configs_provider_fkey
            """
        )
        add_model(connection, "gone")
    result = sexton("upgrade", "--plan")
    assert "live model configs without a provider: 1, of 'gone'" in result.stdout
    assert "tombstones that are half set: 1" in result.stdout


def test_a_plan_writes_nothing_and_names_who_blocks(database, sexton):
    sexton.url = database("0003")
    with (
        contextlib.closing(connect(sexton.url, name="application")) as other,
        other.transaction(),
    ):
        pid = other.info.backend_pid
        other.execute("select from chat_providers")
        other.execute("select pg_sleep(0.1)")
        result = sexton("upgrade", "--plan", "--max-stall", "50ms", "--format", "json")
        assert scalar(other, "select version_num from sexton.alembic_version") == "0003"
        assert chat_schema.provider_keys(other)
    assert result.code == 1
    step, _ = result.json["steps"]
    assert step["lock"] == "access exclusive"
    assert step["tables"] == ["chat_providers", "chat_model_configs"]
    assert [blocker["pid"] for blocker in step["blockers"]] == [pid]
    assert "query" not in step["blockers"][0]


def test_a_plan_on_a_read_only_connection_of_a_fresh_database(database, sexton):
    sexton.url = database("empty")
    result = sexton("upgrade", "--plan", "--format", "json")
    assert result.code == 1
    assert result.json["revisions"] == ["0001", "0002", "0003", "0004"]
    # What the baseline brings, later steps take away: nothing is called done.
    assert not any(step["done"] for step in result.json["steps"])


def psql(url: str, script: str) -> subprocess.CompletedProcess[str]:
    program = wheel() / "bin" / "psql"
    return subprocess.run(
        [program, "--no-psqlrc", "--quiet", "--dbname", url],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_does_in_psql_what_the_upgrade_does(database, sexton):
    sexton.url = database("empty")
    script = sexton("upgrade", "--sql").stdout
    done = psql(sexton.url, script)
    assert done.returncode == 0, done.stderr
    with contextlib.closing(connect(sexton.url, name="tests")) as connection:
        assert schema.revision(connection) == "0004"
        assert drift(connection) == []
        again = psql(sexton.url, script)
        assert again.returncode == 3
        assert "not where this script begins" in again.stderr
        back = sexton("downgrade", "base", "--sql").stdout
        assert psql(sexton.url, back).returncode == 0
        assert schema.revision(connection) is None


@pytest.mark.usefixtures("history")
def test_the_script_refuses_what_the_downgrade_refuses(sexton, connection):
    script = sexton("downgrade", "0001", "--sql").stdout
    done = psql(sexton.url, script)
    assert done.returncode == 3
    assert "would come back to life" in done.stderr
    assert scalar(connection, "select count(*) from chat_model_configs where deleted") == 1


def test_plain_alembic_goes_through_the_same_machinery(database):
    url = database("0003")
    parameters = dict(part.split("=", 1) for part in url.split())
    environment = os.environ | {
        "PGHOST": parameters["host"],
        "PGUSER": parameters["user"],
        "PGPORT": parameters["port"],
        "PGDATABASE": parameters["dbname"],
    }

    def alembic(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    with contextlib.closing(connect(url, name="application")) as other:
        with other.transaction():
            other.execute("select from chat_providers")
            options = ("-x", "max_stall=0.1", "-x", "deadline=0.5")
            blocked = alembic(*options, "upgrade", "head")
            assert blocked.returncode != 0
            assert "no access exclusive lock" in blocked.stdout + blocked.stderr
            assert "Traceback" not in blocked.stderr
        assert alembic("upgrade", "head").returncode == 0
        assert schema.revision(other) == "0004"
        assert alembic("check").returncode == 0
        assert alembic("current").stdout.strip() == "0004 (head)"


@pytest.mark.parametrize("time", ["0", "-1s", "soon", "1 day"])
def test_a_time_that_is_none_is_wrong_usage(sexton, time):
    assert sexton("upgrade", "--max-stall", time).code == 2


def test_a_newer_revision_is_said_and_never_guessed(sexton, connection):
    connection.execute("update sexton.alembic_version set version_num = '0099'")
    for command in ("upgrade", "adopt"):
        result = sexton(command)
        assert result.code == 4
        assert "'0099', which this Sexton does not know" in result.stdout + result.stderr


def test_base_is_refused_while_rows_would_be_lost(connection, url):
    add_provider(connection, "openai")
    with pytest.raises(Refused, match="chat_providers has 1 rows"):
        downgrade(connection, url, "base")
