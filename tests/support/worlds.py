"""Generated databases: providers, configs, chats, and what else names them."""

import json
import uuid
from typing import Any

from hypothesis import strategies as st

from sexton.database import Connection
from tests.support.tools import add_chat, add_message, add_model, add_provider

# Tables that the product has and Sexton's baseline has not.
SETTINGS = """
    create table site_configs (key varchar(256) not null unique, value text not null);
    create table user_configs (
        user_id uuid not null, key varchar(256) not null, value text not null,
        primary key (user_id, key)
    );
    create table chat_queued_messages (
        id bigserial primary key,
        chat_id uuid not null references chats on delete cascade,
        content jsonb not null default '{}',
        model_config_id uuid
    );
    create table users (
        id uuid primary key, username text not null default '',
        deleted boolean not null default false
    );
"""
EMPTY = """
    delete from chat_queued_messages; delete from chat_messages; delete from chats;
    delete from user_chat_provider_keys; delete from chat_model_configs;
    delete from chat_providers; delete from site_configs; delete from user_configs
"""
NAMES = ["anthropic", "openai", "openai-compat"]

configs = st.fixed_dictionaries(
    {
        "provider": st.sampled_from([*NAMES, "vercel"]),
        "model": st.sampled_from(["a", "B", "gpt_4"]),
        "enabled": st.booleans(),
        "deleted": st.sampled_from([False, False, True]),
        "chats": st.lists(
            st.tuples(
                st.sampled_from(["waiting", "running", "pending", "error"]),
                st.booleans(),
                st.integers(0, 2),
                st.booleans(),
            ),
            max_size=3,
        ),
        "overrides": st.sets(st.sampled_from(["site", "advisor", "personal", "pct"])),
    }
)
worlds = st.fixed_dictionaries(
    {
        "providers": st.lists(
            st.tuples(st.sampled_from(NAMES), st.booleans(), st.integers(0, 2)),
            min_size=1,
            unique_by=lambda provider: provider[0],
        ),
        "configs": st.lists(configs, max_size=6),
        "default": st.integers(0, 7),
    }
)


def build(connection: Connection, world: dict[str, Any]) -> list[uuid.UUID]:
    """Write a generated world into emptied tables; return the configs' ids."""
    with connection.transaction():
        connection.execute(EMPTY)
        for name, enabled, keys in world["providers"]:
            provider = add_provider(
                connection, name, enabled=enabled, allow_user_api_key=True
            )
            for _ in range(keys):
                connection.execute(
                    "insert into user_chat_provider_keys "
                    "(user_id, chat_provider_id, api_key) values (%s, %s, 'sk-made-up')",
                    (uuid.uuid4(), provider),
                )
        return [
            _config(connection, index, config, index == world["default"])
            for index, config in enumerate(world["configs"])
        ]


def _config(
    connection: Connection, index: int, config: dict[str, Any], is_default: bool
) -> uuid.UUID:
    columns = {"enabled": config["enabled"], "is_default": is_default}
    if config["deleted"]:
        columns |= {"deleted": True, "deleted_at": "2026-01-01"}
    id: uuid.UUID = add_model(connection, config["provider"], config["model"], **columns)
    for status, archived, messages, queued in config["chats"]:
        chat = add_chat(connection, id, status=status, archived=archived)
        for _ in range(messages):
            add_message(connection, chat, id)
        if queued:
            connection.execute(
                "insert into chat_queued_messages (chat_id, model_config_id) "
                "values (%s, %s)",
                (chat, id),
            )
    for override in config["overrides"]:
        add_override(connection, override, index, id)
    return id


def add_override(connection: Connection, kind: str, index: int, id: uuid.UUID) -> None:
    """Write a setting that names a config, in one of the spellings there are."""
    site = "insert into site_configs values (%s, %s) on conflict do nothing"
    user = "insert into user_configs values (gen_random_uuid(), %s, %s)"
    if kind == "site":
        keys = ["explore", "general", "title_generation", "compaction"]
        key = f"agents_chat_{keys[index % 4]}_model_override"
        connection.execute(site, (key, f"{id}:high" if index % 2 else str(id)))
    elif kind == "advisor":
        value = json.dumps({"model_config_id": str(id), "max_uses": 3})
        connection.execute(site, ("agents_advisor_config", value))
    elif kind == "personal":
        value = f"model:{id}" + (":low" if index % 2 else "")
        connection.execute(user, ("chat_personal_model_override:root", value))
    else:
        connection.execute(user, (f"chat_compaction_threshold_pct:{id}", "80"))
