"""A chat names a model config that does not exist.

The foreign key forbids it, so the key was dropped, is not valid, or a restore brought
back the chats without the configs. The chat's history can no longer say which model
wrote it.

The repair puts a placeholder, a tombstone, under the lost id: named as the last debug run
remembers it, else `unknown`. Nothing is lost, and the reference stays: setting it to NULL
would lose the model for good. A restored row is better: restore it first if you can.
"""

from sexton.chat.placeholder import DEBUG_RUNS, NO_DEBUG_RUNS, placeholder
from sexton.check import Check, Reference, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chats",
    key=("id",),
    message="chat {id} names model {last_model_config_id}, which does not exist",
    reads=DEBUG_RUNS,
    fallbacks=NO_DEBUG_RUNS,
    reference=Reference("last_model_config_id", "chat_model_configs", "id"),
    repair=placeholder("last_model_config_id"),
)
