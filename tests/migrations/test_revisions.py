"""The revisions as facts: one head, up and down and up, and what rows live through."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

import migrations
from tests.tools import add_chat, add_model, add_provider, table
from toolkit import upgrade as upgrading
from toolkit.database import connect, rows, scalar
from toolkit.drift import drift
from toolkit.errors import Refused, UsageError, WrongSchema
from toolkit.schema import revision

REVISIONS = upgrading.revisions()


@pytest.fixture
def at(database):
    """A connection to a fresh database at a revision."""
    opened = []

    def make(number):
        url = database(number)
        opened.append(connect(url, name="tests"))
        return opened[-1], url

    yield make
    for connection in opened:
        connection.close()


def schema_of(connection):
    """Columns, constraints and indexes of all tables, as the catalogs define them."""
    return rows(
        connection,
        """
        select 'column' as kind, attrelid::regclass::text as place, attname::text as name,
               format('%s %s %s', format_type(atttypid, atttypmod), attnotnull,
                      pg_get_expr(d.adbin, d.adrelid)) as definition
        from pg_attribute a
        join pg_class c on c.oid = attrelid and relkind = 'r'
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where relnamespace = 'public'::regnamespace and attnum > 0 and not attisdropped
        union all
        select 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'public'::regnamespace
        union all
        select 'index', tablename, indexname, indexdef
        from pg_indexes where schemaname = 'public'
        order by 1, 2, 3, 4
        """,
    )


def test_there_is_one_head_and_every_file_is_named_alike():
    script = ScriptDirectory.from_config(upgrading.config())
    assert script.get_heads() == ["0004"]
    for path in (Path(migrations.__file__).parent / "versions").glob("*.py"):
        assert re.fullmatch(r"\d{4}_[a-z_]+\.py", path.name)


@pytest.mark.parametrize("number", REVISIONS)
def test_up_down_and_up_again_is_the_same_schema(at, number):
    connection, url = at(number)
    before = schema_of(connection)
    assert drift(connection) == []
    below = ["base", *REVISIONS][REVISIONS.index(number)]
    assert upgrading.downgrade(connection, url, below) == [number]
    assert revision(connection) == (None if below == "base" else below)
    assert upgrading.upgrade(connection, url, number) == [number]
    assert schema_of(connection) == before


def test_plain_alembic_has_the_same_result(at):
    ours, _ = at("head")
    theirs, url = at("empty")
    alembic = [sys.executable, "-m", "alembic"]
    root = Path(migrations.__file__).parent.parent
    environment = {"DATABASE_URL": url, "PATH": ""}
    subprocess.run(
        [*alembic, "upgrade", "head"],
        check=True,
        cwd=root,
        env=environment,
        capture_output=True,
    )
    assert schema_of(theirs) == schema_of(ours)
    assert revision(theirs) == "0004"
    subprocess.run(
        [*alembic, "check"], check=True, cwd=root, env=environment, capture_output=True
    )


def test_nothing_of_ours_lies_among_the_users_tables(at):
    connection, _ = at("head")
    assert {row["place"] for row in schema_of(connection) if row["kind"] == "column"} == {
        *("chat_providers", "chat_model_configs", "chats", "chat_messages"),
        "user_chat_provider_keys",
    }


def test_live_rows_stay_live(at):
    connection, url = at("0001")
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    upgrading.upgrade(connection, url)
    [model] = table(connection, "chat_model_configs")
    assert (model["deleted"], model["deleted_at"], model["is_default"]) == (
        *(False, None),
        True,
    )


def test_only_one_live_default_and_any_number_of_dead_ones(at):
    connection, _ = at("0003")
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    for _ in range(2):
        add_model(connection, "openai", is_default=True, deleted=True, deleted_at="now")
    with pytest.raises(Exception, match="idx_chat_model_configs_single_default"):
        add_model(connection, "openai", is_default=True)


def test_tombstones_come_through_the_way_down_and_up(at):
    connection, url = at("head")
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    gone = add_model(
        *(connection, "google"), deleted=True, deleted_at="2026-01-01", is_default=True
    )
    add_chat(connection, gone)
    orphan = add_model(connection, "vercel")
    before = table(connection, "chat_model_configs")
    upgrading.downgrade(connection, url, "0002")
    stubs = {p["provider"]: p for p in table(connection, "chat_providers")}
    assert set(stubs) == {"openai", "google", "vercel"}
    assert not stubs["google"]["enabled"]
    upgrading.upgrade(connection, url)
    assert table(connection, "chat_model_configs") == before
    assert [p["provider"] for p in table(connection, "chat_providers")] == ["openai"]
    assert orphan in {model["id"] for model in before}


def test_a_stub_that_somebody_filled_stays(at):
    connection, url = at("head")
    add_model(connection, "google", deleted=True, deleted_at="now")
    add_model(connection, "azure", deleted=True, deleted_at="now")
    upgrading.downgrade(connection, url, "0003")
    connection.execute(
        "update chat_providers set enabled = true, api_key = 'k' where provider = 'azure'"
    )
    upgrading.upgrade(connection, url)
    assert [p["provider"] for p in table(connection, "chat_providers")] == ["azure"]


def test_the_way_back_to_0001_is_refused_while_tombstones_exist(at):
    connection, url = at("0002")
    add_provider(connection, "openai")
    gone = add_model(connection, "openai", deleted=True, deleted_at="now")
    with pytest.raises(Refused, match="1 "):
        upgrading.downgrade(connection, url, "0001")
    assert revision(connection) == "0002"
    connection.execute("delete from chat_model_configs where id = %s", (gone,))
    upgrading.downgrade(connection, url, "0001")


def test_a_refusal_changes_nothing_even_from_far_above(at):
    connection, url = at("head")
    add_provider(connection, "openai")
    add_model(connection, "openai", deleted=True, deleted_at="now")
    with pytest.raises(Refused):
        upgrading.downgrade(connection, url, "0001")
    assert revision(connection) == "0004"


def test_base_is_refused_while_there_are_rows(at):
    connection, url = at("0001")
    add_provider(connection, "openai")
    with pytest.raises(Refused, match="chat_providers has 1 "):
        upgrading.downgrade(connection, url, "base")


def test_a_name_outside_the_whitelist_is_refused_before_anything_is_written(at):
    connection, url = at("head")
    add_model(connection, "legacy-removed", deleted=True, deleted_at="now")
    with pytest.raises(Refused, match="'legacy-removed'"):
        upgrading.downgrade(connection, url, "0003")
    assert revision(connection) == "0004"
    assert table(connection, "chat_providers") == []


def test_an_invalid_remnant_of_the_new_index_is_rebuilt(at):
    connection, url = at("0002")
    connection.execute(
        """
        create unique index idx_chat_model_configs_single_default_new
        on chat_model_configs ((1)) where is_default = true and deleted = false
        """
    )
    connection.execute(
        """
        update pg_index set indisvalid = false
        where indexrelid = 'idx_chat_model_configs_single_default_new'::regclass
        """
    )
    upgrading.upgrade(connection, url)
    assert drift(connection) == []
    assert scalar(connection, "select count(*) from pg_index where not indisvalid") == 0


def test_an_unknown_revision_in_the_database_is_not_ours_to_touch(at):
    connection, url = at("head")
    connection.execute("update sexton.alembic_version set version_num = '0099'")
    with pytest.raises(WrongSchema, match="'0099'"):
        upgrading.upgrade(connection, url)


def test_tables_without_a_revision_are_left_alone(at):
    connection, url = at("head")
    connection.execute("drop schema sexton cascade")
    with pytest.raises(WrongSchema, match="no revision"):
        upgrading.upgrade(connection, url)


def test_up_is_not_down(at):
    connection, url = at("0002")
    with pytest.raises(UsageError, match="above 0001"):
        upgrading.upgrade(connection, url, "0001")
    with pytest.raises(UsageError, match="below 0003"):
        upgrading.downgrade(connection, url, "0003")
