"""A chat message names a model config that does not exist.

The foreign key forbids it, so the key was dropped, is not valid, or a restore brought
back the messages without the configs. Cost reports can no longer say which model the
money went to.

The repair puts a placeholder, a tombstone, under the lost id: named as the last debug run
remembers it, else `unknown`. Nothing is lost, and the reference stays: setting it to NULL
would lose the model for good. A restored row is better: restore it first if you can.
"""

from sexton.chat.placeholder import DEBUG_RUNS, NO_DEBUG_RUNS, placeholder
from sexton.check import Check, Reference, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_messages",
    key=("id",),
    message="message {id} names model {model_config_id}, which does not exist",
    reads=DEBUG_RUNS,
    fallbacks=NO_DEBUG_RUNS,
    reference=Reference("model_config_id", "chat_model_configs", "id"),
    repair=placeholder("model_config_id"),
    after=("chat_without_model",),
)
