"""A queued message names a model config that is gone: a tombstone, or no row at all.

The column has no foreign key. Deleting a provider or a model does not look into the
queue. When the message's turn comes, the chat falls back to the default, or fails where
there is none.

The safe cure is to clear the reference: the message then uses the chat's own model, or
the default. Which model was asked for is lost.
"""

from checks.base import Check, Reference, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_queued_messages",
    key=("id",),
    message="queued message {id} names model {model_config_id}, which {state}",
    reads={"chat_model_configs": ("deleted",)},
    reference=Reference(
        "model_config_id", "chat_model_configs", "id", counts="not parent.deleted"
    ),
    shows={
        "state": """
            case
                when this.model_config_id in (select c.id from chat_model_configs c)
                then 'is a tombstone'
                else 'does not exist'
            end
        """,
    },
    decide="clear the queued message's model_config_id, so that the default is used",
)
