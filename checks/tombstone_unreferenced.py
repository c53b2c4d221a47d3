"""No chat and no message mentions this tombstone any more.

Chats are purged after a time, and the tombstones that served them stay. They do no harm
beyond their number.

There is no automatic repair: purge them on request, once nothing else (settings, queued
messages, debug runs) names them. A purged row cannot be brought back.
"""

from checks.base import Check, Severity

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chat_model_configs",
    key=("id",),
    message="model {model} of {provider}, a tombstone, is in no chat and no message",
    reads={
        "chat_model_configs": ("id", "provider", "model", "deleted"),
        "chats": ("last_model_config_id",),
        "chat_messages": ("model_config_id",),
    },
    find="""
        select c.id, c.provider, c.model
        from chat_model_configs c
        where c.deleted
          and not exists (select from chats h where h.last_model_config_id = c.id)
          and not exists (select from chat_messages m where m.model_config_id = c.id)
        order by c.id
    """,
)
