"""No model config is live, so no chat can have a model.

Deleting the last provider, or the last model, leaves this behind. Every new chat then
fails with `no default chat model config is available`. A database in which nobody has
set up a provider or a model yet is left alone.

There is nothing to repair from: create a provider and a model, in the product or with
`sexton model create`. Tombstones do not come back by themselves.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_model_configs",
    key=(),
    message="no model config is live; {tombstones} are tombstones",
    reads={
        "chat_model_configs": ("deleted",),
        "chat_providers": ("id",),
    },
    find="""
        select count(*) as tombstones
        from chat_model_configs c
        having count(*) filter (where not c.deleted) = 0
           and (count(*) > 0 or exists (select from chat_providers))
    """,
    manual_action="create a model: sexton model create",
)
