"""Made-up but realistic data, for the demo, the tests and the benchmarks."""

from typing import Any

from sexton.database import Connection

CATALOG = {
    "anthropic": ["claude-haiku", "claude-opus", "claude-sonnet"],
    "azure": ["gpt-4.1", "gpt-4o", "o3"],
    "bedrock": ["claude-sonnet", "llama-4-maverick", "nova-pro"],
    "google": ["gemini-flash", "gemini-pro"],
    "openai": ["gpt-4.1", "gpt-5", "gpt-5-mini", "o3"],
    "openai-compat": ["qwen3-coder"],
    "openrouter": ["deepseek-r1", "mistral-large"],
    "vercel": ["v0-large"],
}
DEFAULT = ("openai", "gpt-5")


def populate(
    connection: Connection, *, chats: int = 5_000, messages: int = 4, users: int = 200
) -> None:
    """Fill empty tables: 8 providers, 19 models, `chats` with `messages` each.

    Works at every revision. Deterministic but for the generated ids.
    """
    execute: Any = connection.execute
    execute(
        """
        insert into chat_providers (provider, display_name, api_key, allow_user_api_key)
        select name, initcap(name), 'sk-made-up-' || name, true
        from unnest(%s::text[]) as name
        """,
        [list(CATALOG)],
    )
    execute(
        """
        insert into chat_model_configs
            (provider, model, is_default, context_limit, compression_threshold)
        select provider, model, (provider, model) = (%s, %s), 200000, 70
        from unnest(%s::text[], %s::text[]) as m (provider, model)
        """,
        [
            *DEFAULT,
            [provider for provider, names in CATALOG.items() for _ in names],
            [name for names in CATALOG.values() for name in names],
        ],
    )
    execute(
        """
        insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)
        select gen_random_uuid(), p.id, 'sk-made-up-' || n
        from generate_series(1, %s) as n
        join (
            select id, row_number() over (order by provider) as ordinal
            from chat_providers
        ) p on p.ordinal = n %% 8 + 1
        """,
        [users],
    )
    _converse(connection, chats, messages)
    execute("analyze")


def _converse(connection: Connection, chats: int, messages: int) -> None:
    """Chats on the models in turn, and messages in each chat."""
    execute: Any = connection.execute
    execute(
        """
        with models as (
            select id, row_number() over (order by provider, model) - 1 as ordinal,
                   count(*) over () as many
            from chat_model_configs
        )
        insert into chats
            (owner_id, title, status, created_at, last_model_config_id, archived)
        select
            gen_random_uuid(),
            'Chat ' || n,
            (array['completed', 'waiting', 'running', 'pending'])[
                1 + (n %% 40 = 0)::int + 2 * (n %% 97 = 0)::int
            ]::chat_status,
            now() - make_interval(mins => n),
            m.id,
            n %% 5 = 0
        from generate_series(1, %s) as n
        join models m on m.ordinal = n %% m.many
        """,
        [chats],
    )
    execute(
        """
        insert into chat_messages
            (chat_id, model_config_id, created_at, role, content, total_cost_micros)
        select
            c.id, c.last_model_config_id, c.created_at + make_interval(secs => n),
            (case when n %% 2 = 1 then 'user' else 'assistant' end)::chat_message_role,
            jsonb_build_array(jsonb_build_object('text', 'Message ' || n)),
            case when n %% 2 = 0 then 1200 end
        from chats c, generate_series(1, %s) as n
        """,
        [messages],
    )


# What an incident leaves behind, written past the tool: a restored row under a deleted
# provider that is the default, a half-set tombstone, an orphan of an old replica.
INCIDENT = """
    update chat_model_configs set is_default = false where is_default and not deleted;
    insert into chat_model_configs
        (provider, model, is_default, context_limit, compression_threshold)
    values ('openai', 'gpt-5-restored', true, 200000, 70),
           ('openai', 'gpt-4.1-old-replica', false, 200000, 70);
    update chat_model_configs set deleted_at = null
    where id = (select min(id::text)::uuid from chat_model_configs where deleted);
"""
