"""The product's other tables, as far as settings, queue and debug runs need them."""

import uuid
from typing import Any

from sexton.database import Connection, scalar

TABLES = """
    create table users (id uuid primary key, deleted boolean not null default false);
    create table site_configs (key varchar(256) not null unique, value text not null);
    create table user_configs (
        user_id uuid not null, key varchar(256) not null, value text not null,
        primary key (user_id, key)
    );
    create table chat_queued_messages (
        id bigserial primary key, chat_id uuid not null, content jsonb not null,
        model_config_id uuid, created_at timestamptz not null default now()
    );
    create table chat_debug_runs (
        id uuid primary key default gen_random_uuid(), chat_id uuid not null,
        model_config_id uuid, provider text, model text,
        started_at timestamptz not null default now()
    );
"""


def make_tables(connection: Connection) -> None:
    """Make them, empty."""
    connection.execute(TABLES)


def set_site(connection: Connection, key: str, value: str) -> None:
    """Write a setting of the site."""
    connection.execute("insert into site_configs values (%s, %s)", (key, value))


def get_site(connection: Connection, key: str) -> Any:
    """Read a setting of the site."""
    return scalar(connection, "select value from site_configs where key = %s", key)


def set_user(connection: Connection, key: str, value: str) -> uuid.UUID:
    """Write a setting of some user's, and return who."""
    user = uuid.uuid4()
    connection.execute("insert into user_configs values (%s, %s, %s)", (user, key, value))
    return user
