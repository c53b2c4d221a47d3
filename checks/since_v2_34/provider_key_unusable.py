"""An API key belongs to a provider that is deleted or does not exist.

Deleting a provider leaves its keys behind. They are secrets that serve nobody and can
only leak. Keys of disabled providers are no finding: the provider may be enabled again.

The repair deletes the keys, and needs `--unsafe`: the journal does not keep keys, so not
even `sexton undo` brings them back.
"""

from sexton.chat.settings import PROVIDER_STATE
from sexton.check import Check, Delete, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="ai_provider_keys",
    key=("id",),
    message="key {id} for {provider} cannot be used: {problem}",
    reads={
        "ai_provider_keys": ("id", "provider_id"),
        "ai_providers": ("id", "name", "enabled", "deleted"),
    },
    find=f"""
        select k.id, coalesce(p.name, k.provider_id::text) as provider,
            {PROVIDER_STATE} as problem
        from ai_provider_keys k
        left join ai_providers p on p.id = k.provider_id
        where p.deleted is not false
        order by k.id
    """,  # noqa: S608 - an expression of ours
    repair=Delete(why="a secret that cannot be used can only leak"),
    after=("default_missing",),
    data_loss="providers' API keys, which not even undo brings back",
    manual_action="delete the key in the product",
)
