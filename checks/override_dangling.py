"""A site setting names a model that cannot be used.

The settings that override the model for exploring, general work, titles and compaction
hold a config's id as text. Deleting a provider or a model leaves them behind. Most then
count as unset without a word; the one for titles makes titles fail.

The repair clears the setting, which means the default; the journal keeps what it was. A
model or provider that is merely disabled may be enabled again, so a person must decide.
"""

from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="site_configs",
    key=("key",),
    message="setting {key} {problem}",
    reads={
        "site_configs": ("key", "value"),
        "chat_model_configs": ("id", "provider", "enabled", "deleted"),
        "chat_providers": ("provider", "enabled"),
    },
    parent="chat_model_configs",
    find="""
        select judged.key, judged.problem
        from (
            select
                s.key,
                case
                    when s.model_id is null then 'holds no model id'
                    when c.id is null
                        then format('names model %s, which does not exist', s.model_id)
                    when c.deleted
                        then format('names model %s, a tombstone', s.model_id)
                    when p.provider is null
                        then format('names model %s, whose provider is gone', s.model_id)
                    when not c.enabled
                        then format('names model %s, which is disabled', s.model_id)
                    when not p.enabled then
                        format('names model %s, whose provider is disabled', s.model_id)
                end as problem
            from (
                select
                    o.key,
                    case
                        when btrim(o.value)
                            ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:.+)?$'
                        then left(btrim(o.value), 36)::uuid
                    end as model_id
                from site_configs o
                where o.key in (
                    'agents_chat_explore_model_override',
                    'agents_chat_general_model_override',
                    'agents_chat_title_generation_model_override',
                    'agents_chat_compaction_model_override'
                )
                  and btrim(o.value) <> ''
            ) s
            left join chat_model_configs c on c.id = s.model_id
            left join chat_providers p on p.provider = c.provider
        ) judged
        where judged.problem is not null
        order by judged.key
    """,
    repair=Update(
        set={"value": "''"},
        where="found.problem not like '%disabled'",
        why="it {problem}, so it already counts as unset",
    ),
    after=("default_missing",),
    manual_action="choose a usable model for the setting, or clear it",
)
