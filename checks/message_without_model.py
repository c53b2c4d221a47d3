"""A chat message names a model config that does not exist.

The foreign key forbids it, so the key was dropped, is not valid, or a restore brought
back the messages without the configs. Cost reports can no longer say which model the
money went to.

There is no automatic repair yet: restore the config's row, as a tombstone, under its id.
Setting the reference to NULL would lose the model for good.
"""

from checks.base import Check, Reference, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_messages",
    key=("id",),
    message="message {id} names model {model_config_id}, which does not exist",
    reference=Reference("model_config_id", "chat_model_configs", "id"),
    decide="restore the config's row, as a tombstone, under the id the message names",
)
