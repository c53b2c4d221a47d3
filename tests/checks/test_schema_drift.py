"""Drift is seen in the catalogs, where `alembic check` is blind."""

import contextlib

import pytest

from sexton.database import connect
from sexton.errors import SchemaDrift
from sexton.upgrade.adopt import adopt, stamp
from sexton.upgrade.drift import drift, verify
from tests.support.upstream import build_upstream as build_product

INDEX = "idx_chat_model_configs_single_default"
REBUILD = f"drop index {INDEX}; create unique index {INDEX} on chat_model_configs ((1))"
KEY = "chats_last_model_config_id_fkey"

MUTATIONS = {
    "index without predicate": REBUILD,
    "index with the predicate inverted": f"{REBUILD} where is_default and deleted",
    "index of the default gone": f"drop index {INDEX}",
    "index not unique": f"""
        drop index {INDEX};
        create index {INDEX} on chat_model_configs ((1))
            where is_default = true and deleted = false
    """,
    "index invalid": f"""
        update pg_index set indisvalid = false where indexrelid = '{INDEX}'::regclass
    """,
    "key not valid": f"""
        alter table chats drop constraint {KEY};
        alter table chats add constraint {KEY} foreign key (last_model_config_id)
            references chat_model_configs (id) not valid
    """,
    "key with another action": f"""
        alter table chats drop constraint {KEY};
        alter table chats add constraint {KEY} foreign key (last_model_config_id)
            references chat_model_configs (id) on delete cascade
    """,
    "key gone": f"alter table chats drop constraint {KEY}",
    "key's triggers disabled on the child": "alter table chats disable trigger all",
    "key's triggers disabled on the parent": """
        alter table chat_model_configs disable trigger all
    """,
    "provider key back": """
        alter table chat_model_configs add constraint back foreign key (provider)
            references chat_providers (provider)
    """,
    "default flipped": """
        alter table chat_model_configs alter column deleted set default true
    """,
    "default dropped": """
        alter table chat_model_configs alter column is_default drop default
    """,
    "not null dropped": """
        alter table chat_model_configs alter column deleted drop not null
    """,
    "not null added": """
        alter table chat_model_configs alter column deleted_at set not null
    """,
    "column of another type": """
        alter table chat_model_configs alter column deleted_at type timestamp
    """,
    "column renamed": "alter table chat_model_configs rename column deleted to gone",
    "providers not unique": """
        alter table chat_providers drop constraint chat_providers_provider_key
    """,
    "allow-list gone": """
        alter table chat_providers drop constraint chat_providers_provider_check
    """,
}


@pytest.fixture
def product(database):
    """The real product's database after its change, adopted."""
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        build_product(connection)
        stamp(connection, adopt(connection))
        yield connection


def test_a_fresh_database_has_none(connection):
    assert drift(connection) == []


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_no_revision_has_any_of_its_own(database, revision):
    with contextlib.closing(connect(database(revision), name="tests")) as connection:
        assert drift(connection) == []


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_is_seen(connection, mutation):
    connection.execute(MUTATIONS[mutation])
    assert drift(connection)
    with pytest.raises(SchemaDrift):
        verify(connection)


def test_every_mutation_is_seen_on_the_real_product(product):
    assert drift(product) == []
    for mutation, statement in MUTATIONS.items():
        with product.transaction(force_rollback=True):
            product.execute(statement)
            assert drift(product), mutation


def test_status_says_it_and_exits_with_1(sexton, connection):
    assert sexton("status").code == 0
    connection.execute(MUTATIONS["key not valid"])
    result = sexton("status", "--format", "json")
    assert result.code == 1
    [sentence] = result.json["drift"]
    assert "FOREIGN KEY (last_model_config_id)" in sentence


def test_an_audit_finds_it(sexton, connection):
    assert sexton("audit", "schema_drift").code == 0
    connection.execute(MUTATIONS["index invalid"])
    result = sexton("audit", "schema_drift", "--format", "json")
    [finding] = result.json["checks"][0]["findings"]
    assert result.code == 1
    assert finding["key"] == {"relname": "chat_model_configs"}
    assert "just one live default" in finding["message"]


def test_an_upgrade_that_has_nothing_to_do_still_verifies(sexton, connection):
    connection.execute(MUTATIONS["default flipped"])
    result = sexton("upgrade")
    assert result.code == 1
    assert "deleted is not boolean not null default false" in result.stderr
