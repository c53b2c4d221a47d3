"""A user's own API key can no longer be used.

Its provider is disabled or no longer allows users' keys, or the user is deleted: none of
these removes the key. It is a secret that serves nobody and can only leak.

The repair revokes the key, that is, deletes its row, and takes `--unsafe`: the journal
does not keep keys, so not even `sexton undo` brings it back.
"""

from sexton.check import Check, Delete, Severity

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
    repair=Delete(why="a secret that cannot be used can only leak"),
    after=("default_missing",),
    data_loss="users' API keys, which not even undo brings back",
    manual_action="delete the key, or let the provider allow it again",
)
