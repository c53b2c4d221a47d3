"""A user's own API key can no longer be used.

Its provider is disabled or no longer allows users' keys, or the user is deleted: none of
these removes the key. It is a secret that serves nobody and can only leak.

The repair revokes the key, that is, deletes its row, and takes `--unsafe`: the journal
does not keep keys, so not even `sexton undo` brings it back.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="user_chat_provider_keys",
    key=("id",),
    message="key {id} of user {user_id} for {provider} cannot be used: {problem}",
    reads={
        "user_chat_provider_keys": ("id", "user_id", "chat_provider_id"),
        "chat_providers": ("id", "provider", "enabled", "allow_user_api_key"),
        "users": ("id", "deleted"),
    },
    fallbacks={"users": "select null::uuid as id, false as deleted where false"},
    find="""
        select
            k.id,
            k.user_id,
            p.provider,
            case
                when not p.enabled then 'the provider is disabled'
                when not p.allow_user_api_key then 'the provider allows no such keys'
                else 'the user is deleted'
            end as problem
        from user_chat_provider_keys k
        join chat_providers p on p.id = k.chat_provider_id
        left join users u on u.id = k.user_id
        where not p.enabled or not p.allow_user_api_key or u.deleted
        order by k.id
    """,
    repair="""
        select
            'user_chat_provider_keys' as "table",
            'delete' as kind,
            jsonb_build_object('id', k.id) as key,
            (
                select jsonb_object_agg(v.name, jsonb_build_array(v.value, null))
                from jsonb_each(to_jsonb(k) - 'api_key') as v (name, value)
            ) as change,
            'a secret that cannot be used can only leak' as why
        from user_chat_provider_keys k
        join chat_providers p on p.id = k.chat_provider_id
        left join users u on u.id = k.user_id
        where not p.enabled or not p.allow_user_api_key or u.deleted
        order by k.id
    """,
    data_loss="users' API keys, which not even undo brings back",
    manual_action="delete the key, or let the provider allow it again",
)
