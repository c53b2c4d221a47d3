"""A user's own choice of model names a model that cannot be used.

The choice is text: `model:` and a config's id, or a word that means a default. Deleting a
provider or a model leaves it behind, and the chat silently uses the default.

The repair sets the choice to `chat_default`, which is what happens anyway; the journal
keeps what it was. A model or provider that is merely disabled may be enabled again, so a
person must decide.
"""

from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.INFO,
    table="user_configs",
    key=("user_id", "key"),
    message="setting {key} of user {user_id} {problem}",
    reads={
        "user_configs": ("user_id", "key", "value"),
        "chat_model_configs": ("id", "provider", "enabled", "deleted"),
        "chat_providers": ("provider", "enabled"),
    },
    parent="chat_model_configs",
    find="""
        select judged.user_id, judged.key, judged.problem
        from (
            select
                s.user_id,
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
                    o.user_id,
                    o.key,
                    case
                        when btrim(o.value)
                            ~* '^model:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:.+)?$'
                        then substr(btrim(o.value), 7, 36)::uuid
                    end as model_id
                from user_configs o
                where o.key in (
                    'chat_personal_model_override:root',
                    'chat_personal_model_override:general',
                    'chat_personal_model_override:explore'
                )
                  and btrim(o.value) not in ('', 'chat_default', 'deployment_default')
            ) s
            left join chat_model_configs c on c.id = s.model_id
            left join chat_providers p on p.provider = c.provider
        ) judged
        where judged.problem is not null
        order by judged.user_id, judged.key
    """,
    repair=Update(
        set={"value": "'chat_default'"},
        where="found.problem not like '%disabled'",
        why="it {problem}, so the chat uses the default anyway",
    ),
    after=("default_missing",),
    manual_action="set the choice to chat_default, or let the user choose again",
)
