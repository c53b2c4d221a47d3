"""The product since v2.34: a marked provider with live models is found and cured."""

import contextlib
import uuid

import psycopg
import pytest

from sexton.database import connect, rows
from tests.support.tools import Cli

TABLES = """
    create table ai_providers (
        id uuid primary key default gen_random_uuid(), name text not null,
        enabled boolean not null default true, deleted boolean not null default false,
        base_url text not null default '', settings text,
        updated_at timestamptz not null default now()
    );
    create table chat_model_configs (
        id uuid primary key default gen_random_uuid(), model text not null,
        enabled boolean not null default true, is_default boolean not null default false,
        deleted boolean not null default false, deleted_at timestamptz,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        ai_provider_id uuid references ai_providers,
        check (deleted or ai_provider_id is not null)
    );
    create unique index one_default on chat_model_configs ((1))
        where is_default and not deleted;
    create table chats (
        id uuid primary key default gen_random_uuid(),
        last_model_config_id uuid not null references chat_model_configs
    );
    create table chat_messages (
        id bigserial primary key, model_config_id uuid references chat_model_configs
    );
    create table chat_queued_messages (id bigserial primary key, model_config_id uuid);
"""
GONE, STAYS = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture
def today(database, tmp_path, capfd):
    """A database of the product since v2.34, and its commands."""
    url = database("empty")
    file = tmp_path / "sexton.toml"
    file.write_text('project = "chat-v2.34"\n')
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(TABLES)
        for id, name in ((GONE, "openai"), (STAYS, "anthropic")):
            connection.execute(
                "insert into ai_providers (id, name) values (%s, %s)", (id, name)
            )
            connection.execute(
                "insert into chat_model_configs (model, ai_provider_id, is_default) "
                "values (%s, %s, %s)",
                (f"of {name}", id, id == GONE),
            )
        connection.execute(
            "insert into chats (last_model_config_id) select id from chat_model_configs"
        )
        cli = Cli(url, capfd)
        yield connection, lambda *words: cli(*words, "--config", str(file)), cli


def models(connection):
    return rows(
        connection,
        "select model, deleted, is_default from chat_model_configs order by model",
    )


def test_what_the_products_deletion_leaves_is_found_and_cured(today):
    connection, sexton, _ = today
    assert sexton("audit").code == 0
    connection.execute("update ai_providers set deleted = true where id = %s", (GONE,))
    found = sexton("audit", "--confirm-after", "0", "--format", "json")
    assert found.code == 1
    failed = [c["check"] for c in found.json["checks"] if c["status"] == "fail"]
    assert "model_without_provider" in failed
    repaired = sexton("repair", "--apply", "--allow-revision")
    assert repaired.code == 0, repaired.stderr
    assert models(connection) == [
        {"model": "of anthropic", "deleted": False, "is_default": True},
        {"model": "of openai", "deleted": True, "is_default": False},
    ]
    assert sexton("audit").code == 0


def test_the_guard_refuses_to_mark_a_provider_of_live_models(today):
    connection, sexton, _ = today
    added = sexton("guard", "add")
    assert added.code == 0, added.stderr
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute("update ai_providers set deleted = true where id = %s", (GONE,))
    connection.execute(
        "update chat_model_configs set deleted = true, deleted_at = now() "
        "where ai_provider_id = %s",
        (GONE,),
    )
    connection.execute("update ai_providers set deleted = true where id = %s", (GONE,))


@pytest.mark.parametrize(
    "command",
    [
        ("provider", "list"),
        ("provider", "delete", "openai"),
        ("model", "list"),
        ("status",),
        ("audit",),
    ],
)
def test_without_the_declaration_it_is_recognised(today, command):
    _, _, sexton = today
    said = sexton(*command)
    assert said.code == 4
    assert "v2.34" in said.stderr
