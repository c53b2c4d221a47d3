"""A chat names a model config that does not exist.

The foreign key forbids it, so the key was dropped, is not valid, or a restore brought
back the chats without the configs. The chat's history can no longer say which model
wrote it.

There is no automatic repair yet: restore the config's row, as a tombstone, under its id.
"""

from checks.base import Check, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chats",
    key=("id",),
    message="chat {id} names model {model_id}, which does not exist",
    reads={
        "chats": ("id", "last_model_config_id"),
        "chat_model_configs": ("id",),
    },
    parent="chat_model_configs",
    find="""
        select h.id, h.last_model_config_id as model_id
        from chats h
        where not exists (
            select from chat_model_configs c where c.id = h.last_model_config_id
        )
        order by h.id
    """,
    decide="restore the config's row, as a tombstone, under the id the chat names",
)
