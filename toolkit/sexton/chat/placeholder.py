"""Placeholders: tombstones under the ids of model configs that were lost."""

from sexton.check import Insert

DEBUG_RUNS = {"chat_debug_runs": ("model_config_id", "provider", "model", "started_at")}
NO_DEBUG_RUNS = {
    "chat_debug_runs": """
        select
            null::uuid as model_config_id, null::text as provider,
            null::text as model, null::timestamptz as started_at
        where false
    """
}
REMEMBERED = """
    left join lateral (
        select r.provider, r.model
        from chat_debug_runs r
        where r.model_config_id = found.{column}
          and r.provider is not null and r.model is not null
        order by r.started_at desc
        limit 1
    ) remembered on true
"""


def placeholder(column: str) -> Insert:
    """A placeholder for each config that a column of found rows names."""
    return Insert(
        "chat_model_configs",
        {
            "id": f"found.{column}",
            "provider": "coalesce(remembered.provider, 'openai-compat')",
            "model": "coalesce(remembered.model, 'unknown')",
            "display_name": "'Placeholder for a lost model'",
            "enabled": "false",
            "is_default": "false",
            "deleted": "true",
            "deleted_at": "now()",
            "created_at": "now()",
            "updated_at": "now()",
            "context_limit": "1",
            "compression_threshold": "70",
            "options": "'{}'",
        },
        joins=REMEMBERED.format(column=column),
        select={
            "memory": """
                case
                    when remembered.model is null then
                        'no debug run remembers the model: it is recorded as unknown, '
                        'under the provider name that may be any'
                    else format(
                        'a debug run remembers %s of %s',
                        remembered.model, remembered.provider
                    )
                end
            """
        },
        why="{memory}",
    )
