"""A chat's last model config is a tombstone.

This is what deleting a provider or a model leaves behind, and what the tombstones are
for: the history stays readable. The chat's next turn silently uses the default.

There is nothing to repair. `sexton chat resolve ID` says which model the chat uses next.
"""

from checks.base import Check, Severity

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chats",
    key=("id",),
    message="chat {id} last used model {model}, a tombstone; it is {state}",
    reads={
        "chats": ("id", "last_model_config_id", "archived", "status"),
        "chat_model_configs": ("id", "model", "deleted"),
    },
    find="""
        select
            h.id,
            c.model,
            case
                when h.archived then 'archived'
                when h.status::text in ('pending', 'running') then 'in flight'
                else 'open'
            end as state
        from chats h
        join chat_model_configs c on c.id = h.last_model_config_id
        where c.deleted
        order by h.id
    """,
)
