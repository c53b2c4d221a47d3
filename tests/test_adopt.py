"""Adopt: a database is recognised by what it has, and never guessed."""

import pytest

from tests.tools import Cli
from toolkit.adopt import adopt, recognise
from toolkit.database import connect
from toolkit.drift import drift
from toolkit.errors import WrongSchema
from toolkit.schema import revision
from toolkit.upgrade import revisions, upgrade

# The product's schema differs by more tables and columns around ours.
PRODUCT = """
    create table users (id uuid primary key, deleted boolean not null default false);
    create table organizations (id uuid primary key);
    alter table chats
        add column organization_id uuid references organizations (id) on delete cascade,
        add constraint chats_owner_id_fkey foreign key (owner_id) references users (id);
    alter table chat_messages add column content_version smallint not null default 0;
    create index idx_chats_organization_id on chats (organization_id);
"""


@pytest.fixture
def opened(database):
    """A connection to a database at a revision that nobody recorded."""
    connections = []

    def make(number, *changes):
        url = database(number)
        connection = connect(url, name="tests")
        connections.append(connection)
        connection.execute("drop schema sexton cascade")
        for change in changes:
            connection.execute(change)
        return connection, url

    yield make
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("product", [False, True])
@pytest.mark.parametrize("number", revisions())
def test_every_revision_is_recognised(opened, number, product):
    connection, url = opened(number, *([PRODUCT] if product else []))
    found = recognise(connection)
    assert (found.revision, found.recorded, found.product) == (number, None, product)
    assert (found.differs, found.ahead) == ([], [])
    adopt(connection, url)
    assert revision(connection) == number
    upgrade(connection, url)
    assert drift(connection) == []


HALF_WAY = {
    "columns by hand": (
        "0001",
        "alter table chat_model_configs add column deleted boolean not null default false,"
        " add column deleted_at timestamptz",
        "0002",
    ),
    "one column by hand": (
        "0001",
        "alter table chat_model_configs add column deleted boolean not null default false",
        "0001",
    ),
    "key dropped first": (
        "0001",
        "alter table chat_model_configs drop constraint chat_model_configs_provider_fkey",
        "0001",
    ),
    "key dropped before the index": (
        "0002",
        "alter table chat_model_configs drop constraint chat_model_configs_provider_fkey",
        "0002",
    ),
}


@pytest.mark.parametrize("state", HALF_WAY)
def test_a_half_way_database_is_placed_so_that_upgrade_finishes_it(opened, state):
    number, change, expected = HALF_WAY[state]
    connection, url = opened(number, change)
    found = adopt(connection, url)
    assert found.revision == expected
    assert bool(found.ahead) == ("key" in state)
    upgrade(connection, url)
    assert drift(connection) == []


UNKNOWN = {
    "a missing index": ("drop index idx_chats_owner", "btree (owner_id)"),
    "another type": (
        "alter table chat_model_configs alter column model type varchar(99)",
        "character varying(99)",
    ),
    "a missing table": ("drop table chat_messages", "table chat_messages is missing"),
    "the product's later tables": (
        "alter table chat_model_configs add column ai_provider_id uuid",
        "newer than this Sexton",
    ),
}


@pytest.mark.parametrize("state", UNKNOWN)
def test_an_unknown_state_is_said_and_not_stamped(opened, state, capfd):
    change, sentence = UNKNOWN[state]
    connection, url = opened("head", change)
    result = Cli(url, capfd)("adopt", "--apply", "--format", "json")
    assert result.code == 4
    assert result.json["recognised"] is result.json["applied"] is False
    assert any(sentence in differing for differing in result.json["differs"])
    assert not _has_schema(connection)
    with pytest.raises(WrongSchema):
        adopt(connection, url)


def _has_schema(connection):
    found = connection.execute("select to_regnamespace('sexton') is not null as there")
    return found.fetchone()["there"]


def test_a_newer_recorded_revision_is_left_alone(sexton, connection):
    connection.execute("update sexton.alembic_version set version_num = '0099'")
    result = sexton("adopt", "--apply")
    assert result.code == 4
    assert "'0099': newer than this Sexton" in result.stdout


def test_looking_records_nothing(opened, capfd):
    connection, url = opened("0003")
    result = Cli(url, capfd)("adopt")
    assert result.code == 0
    assert "0003; to record it: sexton adopt --apply" in result.stdout
    assert not _has_schema(connection)


def test_without_tables_there_is_nothing_to_adopt(database, capfd):
    result = Cli(database("empty"), capfd)("adopt")
    assert result.code == 4
    assert "no table chat_providers" in result.stderr


def test_status_fails_on_drift(sexton, connection):
    connection.execute("alter table chats disable trigger all")
    result = sexton("status")
    assert result.code == 1
    assert "has its triggers disabled" in result.stdout


def test_an_upgrade_is_read_back_and_fails_on_drift(database, capfd):
    url = database("0003")
    with connect(url, name="tests") as connection:
        connection.execute("alter table chats disable trigger all")
    result = Cli(url, capfd)("upgrade", "--format", "json")
    assert result.code == 1
    assert result.json["to"] == "0004"
    assert any("triggers disabled" in sentence for sentence in result.json["drift"])
