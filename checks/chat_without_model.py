"""A chat names a model config that does not exist.

The foreign key forbids it, so the key was dropped, is not valid, or a restore brought
back the chats without the configs. The chat's history can no longer say which model
wrote it.

There is no automatic repair yet: restore the config's row, as a tombstone, under its id.
"""

from checks.base import Check, Reference, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chats",
    key=("id",),
    message="chat {id} names model {last_model_config_id}, which does not exist",
    reference=Reference("last_model_config_id", "chat_model_configs", "id"),
    decide="restore the config's row, as a tombstone, under the id the chat names",
)
