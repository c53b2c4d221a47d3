"""A message was written by a model more than a minute after the model was deleted.

Each replica of the product remembers its configs for ten seconds, and a run that began
before may end after: a minute covers both. Later messages mean that a replica did not
hear of the deletion and still spends money on the model.

There is nothing to repair in the rows: restart or update the replica that wrote them.
"""

from sexton.check import Check, Reference, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_messages",
    key=("id",),
    message="message {id} was written by model {model} after the model was deleted",
    reads={
        "chat_messages": ("model_config_id", "created_at"),
        "chat_model_configs": ("id", "model", "deleted", "deleted_at"),
    },
    joins=Reference("model_config_id", "chat_model_configs", "id"),
    where="parent.deleted and this.created_at > parent.deleted_at + interval '1 minute'",
    select={"model": "parent.model"},
    manual_action="find the replica that still used the model, and restart it",
)
