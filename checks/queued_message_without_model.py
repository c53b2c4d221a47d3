"""A queued message names a model config that is gone: a tombstone, or no row at all.

The column has no foreign key. Deleting a provider or a model does not look into the
queue. When the message's turn comes, the chat falls back to the default, or fails where
there is none.

The repair clears the reference: the message then uses the chat's own model, or the
default. The journal keeps which model was asked for.
"""

from sexton.check import Check, Reference, Severity, Update

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_queued_messages",
    key=("id",),
    message="queued message {id} names model {model_config_id}, which {state}",
    reads={"chat_model_configs": ("deleted",)},
    reference=Reference(
        "model_config_id", "chat_model_configs", "id", parent_where="not parent.deleted"
    ),
    select={
        "state": """
            case
                when this.model_config_id in (select c.id from chat_model_configs c)
                then 'is a tombstone'
                else 'does not exist'
            end
        """,
    },
    repair=Update(
        set={"model_config_id": "null"},
        why="without a model of its own it uses the chat's, or the default",
    ),
    after=("default_missing",),
)
