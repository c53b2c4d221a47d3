"""No chat and no message mentions this tombstone any more.

Chats are purged after a time, and the tombstones that served them stay. They do no harm
beyond their number.

The repair purges those that no setting, queued message or debug run names either, and
takes `--unsafe`: only the journal then knows them.
"""

from sexton.check import Check, Delete, Severity

OVERRIDES = "select null::uuid as model_config_id where false"

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chat_model_configs",
    key=("id",),
    message="model {model} of {provider}, a tombstone, is in no chat and no message",
    reads={
        "chat_model_configs": ("id", "provider", "model", "deleted"),
        "chats": ("last_model_config_id",),
        "chat_messages": ("model_config_id",),
        "chat_queued_messages": (),
        "chat_debug_runs": ("model_config_id",),
        "site_configs": ("key", "value"),
        "user_configs": ("key", "value"),
        "chat_organization_model_overrides": ("model_config_id",),
        "chat_user_model_overrides": ("model_config_id",),
    },
    find="""
        select c.id, c.provider, c.model
        from chat_model_configs c
        where c.deleted
          and not exists (select from chats h where h.last_model_config_id = c.id)
          and not exists (select from chat_messages m where m.model_config_id = c.id)
        order by c.id
    """,
    fallbacks={
        "chat_queued_messages": "select null::uuid as model_config_id where false",
        "chat_debug_runs": "select null::uuid as model_config_id where false",
        "site_configs": "select null::text as key, null::text as value where false",
        "user_configs": "select null::text as key, null::text as value where false",
        # Of releases later than v2.36.
        "chat_organization_model_overrides": OVERRIDES,
        "chat_user_model_overrides": OVERRIDES,
    },
    repair=Delete(
        where="""
            not exists (
                -- Older versions of the table have no such column.
                select from chat_queued_messages q
                where to_jsonb(q) ->> 'model_config_id' = found.id::text
            )
            and not exists (
                select from chat_debug_runs r where r.model_config_id = found.id
            )
            and not exists (
                select from chat_organization_model_overrides o
                where o.model_config_id = found.id
            )
            and not exists (
                select from chat_user_model_overrides o where o.model_config_id = found.id
            )
            and not exists (
                select from site_configs s
                where (s.key like 'agents\\_%' or s.key like 'chat\\_%')
                  and position(found.id::text in lower(s.value)) > 0
            )
            and not exists (
                select from user_configs s
                where s.key like 'chat\\_%'
                  and position(found.id::text in lower(s.key || ' ' || s.value)) > 0
            )
        """,
        why="nothing names this tombstone any more",
    ),
    after=(
        "advisor_dangling",
        "override_dangling",
        "personal_override_dangling",
        "provider_stub",
        "queued_message_without_model",
        "threshold_dangling",
    ),
    data_loss="the tombstones it purges: only the journal keeps them",
    manual_action="something else names it: a setting, a queued message, a debug run",
)
