"""A chat's last model config is a tombstone.

This is what deleting a provider or a model leaves behind, and what the tombstones are
for: the history stays readable. The chat's next turn silently uses the default.

There is nothing to repair. `sexton chat resolve ID` says which model the chat uses next.
"""

from sexton.check import Check, Reference, Severity

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
    joins=Reference("last_model_config_id", "chat_model_configs", "id"),
    where="parent.deleted",
    select={
        "model": "parent.model",
        "state": """
            case
                when this.archived then 'archived'
                when this.status::text in ('pending', 'running') then 'in flight'
                else 'open'
            end
        """,
    },
)
