"""A queued message names a model config that is a tombstone.

Deleting a provider or a model leaves this behind. When the message is sent, the product
uses the chat's model or the default instead.

There is nothing to repair.
"""

from sexton.check import Check, Reference, Severity

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chat_queued_messages",
    key=("id",),
    message="queued message {id} names model {model}, a tombstone",
    reads={
        "chat_queued_messages": ("id", "model_config_id"),
        "chat_model_configs": ("id", "model", "deleted"),
    },
    joins=Reference("model_config_id", "chat_model_configs", "id"),
    where="parent.deleted",
    select={"model": "parent.model"},
)
