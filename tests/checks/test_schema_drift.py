import pytest

from tests.tools import assert_clean, found
from toolkit.database import connect
from toolkit.drift import drift
from toolkit.upgrade import revisions

NAME = "schema_drift"
INDEX = "idx_chat_model_configs_single_default"

MUTATIONS = {
    "predicate removed": (
        f"drop index {INDEX};"
        f"create unique index {INDEX} on chat_model_configs ((1)) where is_default",
        "unique btree ((1)) WHERE ((is_default = true) AND (deleted = false))",
    ),
    "predicate inverted": (
        f"drop index {INDEX}; create unique index {INDEX} on chat_model_configs ((1))"
        " where is_default = true and deleted = true",
        "is missing",
    ),
    "index no longer unique": (
        f"drop index {INDEX}; create index {INDEX} on chat_model_configs ((1))"
        " where is_default = true and deleted = false",
        "is missing",
    ),
    "index invalid": (
        f"update pg_index set indisvalid = false where indexrelid = '{INDEX}'::regclass",
        f"{INDEX} is invalid",
    ),
    "key dropped": (
        "alter table chats drop constraint chats_last_model_config_id_fkey",
        "FOREIGN KEY (last_model_config_id) REFERENCES chat_model_configs(id)",
    ),
    "key not valid": (
        "alter table chats drop constraint chats_last_model_config_id_fkey;"
        "alter table chats add constraint chats_last_model_config_id_fkey"
        " foreign key (last_model_config_id) references chat_model_configs (id) not valid",
        "chats_last_model_config_id_fkey is not valid",
    ),
    "key with another action": (
        "alter table chats drop constraint chats_last_model_config_id_fkey;"
        "alter table chats add constraint chats_last_model_config_id_fkey foreign key"
        " (last_model_config_id) references chat_model_configs (id) on delete cascade",
        "FOREIGN KEY (last_model_config_id)",
    ),
    "key triggers disabled": (
        "alter table chats disable trigger all",
        "chats_last_model_config_id_fkey has its triggers disabled",
    ),
    "provider key back": (
        "alter table chat_model_configs add constraint back"
        " foreign key (provider) references chat_providers (provider)",
        "constraint back of chat_model_configs still stands, or is back",
    ),
    "default flipped": (
        "alter table chat_model_configs alter column deleted set default true",
        "default true', not 'deleted boolean not null default false'",
    ),
    "not null dropped": (
        "alter table chat_model_configs alter column deleted drop not null",
        "column chat_model_configs.deleted is",
    ),
    "type changed": (
        "alter table chat_model_configs alter column deleted_at type timestamp",
        "timestamp without time zone",
    ),
    "column dropped": (
        "alter table chat_providers drop column base_url",
        "column chat_providers.base_url is missing",
    ),
    "unique dropped": (
        "alter table chat_providers drop constraint chat_providers_provider_key",
        "constraint UNIQUE (provider) of chat_providers is missing",
    ),
    "check dropped": (
        "alter table chat_providers drop constraint chat_providers_provider_check",
        "CHECK ((provider = ANY",
    ),
    "table dropped": ("drop table chat_messages", "table chat_messages is missing"),
}


@pytest.mark.parametrize("revision", revisions())
def test_every_revision_keeps_its_word(database, revision):
    with connect(database(revision), name="tests") as connection:
        assert_clean(connection, NAME)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_of_the_catalog_is_seen(connection, mutation):
    statements, sentence = MUTATIONS[mutation]
    for statement in statements.split(";"):
        connection.execute(statement)
    outcome = found(connection, NAME)
    assert outcome.status == "fail"
    assert any(sentence in finding.message for finding in outcome.findings)


def test_another_name_is_no_drift(connection):
    connection.execute(f"alter index {INDEX} rename to another_name")
    connection.execute(
        "alter table chats rename constraint chats_last_model_config_id_fkey to other"
    )
    assert_clean(connection, NAME)


def test_extra_columns_and_indexes_are_no_drift(connection):
    connection.execute("alter table chat_providers add column extra int")
    connection.execute("create index extra on chat_providers (extra)")
    assert_clean(connection, NAME)


def test_a_database_without_a_revision_promises_nothing(connection):
    connection.execute("drop schema sexton cascade")
    assert drift(connection) == []
    assert found(connection, NAME).status == "skipped"


def test_drift_from_a_revision_that_is_not_recorded(connection):
    assert drift(connection, "0004") == []
    assert "FOREIGN KEY (provider)" in " ".join(drift(connection, "0003"))
