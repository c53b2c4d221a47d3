"""A user's own API key can no longer be used.

Its provider is deleted or disabled, or the user is deleted: none of these removes the
key. It is a secret that serves nobody and can only leak.

The repair revokes the key, that is, deletes its row, and needs `--unsafe`: the journal
does not keep keys, so not even `sexton undo` brings it back.
"""

from sexton.chat.settings import PROVIDER_STATE
from sexton.check import Check, Delete, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="user_ai_provider_keys",
    key=("id",),
    message="key {id} of user {user_id} for {provider} cannot be used: {problem}",
    reads={
        "user_ai_provider_keys": ("id", "user_id", "ai_provider_id"),
        "ai_providers": ("id", "name", "enabled", "deleted"),
        "users": ("id", "deleted"),
    },
    fallbacks={"users": "select null::uuid as id, false as deleted where false"},
    find=f"""
        select k.id, k.user_id, coalesce(p.name, k.ai_provider_id::text) as provider,
            coalesce({PROVIDER_STATE}, 'the user is deleted') as problem
        from user_ai_provider_keys k
        left join ai_providers p on p.id = k.ai_provider_id
        left join users u on u.id = k.user_id
        where {PROVIDER_STATE} is not null or u.deleted
        order by k.id
    """,  # noqa: S608 - an expression of ours
    repair=Delete(why="a secret that cannot be used can only leak"),
    after=("default_missing",),
    data_loss="users' API keys, which not even undo brings back",
    manual_action="delete the key, or enable the provider again",
)
