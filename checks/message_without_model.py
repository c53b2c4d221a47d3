"""A chat message names a model config that does not exist.

The foreign key forbids it, so the key was dropped, is not valid, or a restore brought
back the messages without the configs. Cost reports can no longer say which model the
money went to.

There is no automatic repair yet: restore the config's row, as a tombstone, under its id.
Setting the reference to NULL would lose the model for good.
"""

from checks.base import Check, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_messages",
    key=("id",),
    message="message {id} names model {model_id}, which does not exist",
    reads={
        "chat_messages": ("id", "model_config_id"),
        "chat_model_configs": ("id",),
    },
    parent="chat_model_configs",
    find="""
        select m.id, m.model_config_id as model_id
        from chat_messages m
        where m.model_config_id is not null
          and not exists (
              select from chat_model_configs c where c.id = m.model_config_id
          )
        order by m.id
    """,
    decide="restore the config's row, as a tombstone, under the id the message names",
)
