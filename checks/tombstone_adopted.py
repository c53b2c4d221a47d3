"""A provider of the same name was created after a tombstone's death and now owns it.

The link is the provider's name, so the tombstones of a deleted provider come under
whatever provider is created later with that name. Reports then mix two providers, and an
upgrade that binds configs to providers by id binds the old ones to the new one.

There is nothing to repair in the rows. Note the lineage before such an upgrade.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_model_configs",
    key=("id",),
    message="model {model}, a tombstone, is older than the provider {provider} of today",
    reads={
        "chat_model_configs": ("id", "provider", "model", "deleted", "deleted_at"),
        "chat_providers": ("provider", "created_at"),
    },
    find="""
        select c.id, c.provider, c.model
        from chat_model_configs c
        join chat_providers p on p.provider = c.provider
        where c.deleted and c.deleted_at < p.created_at
        order by c.id
    """,
    manual_action="note that these tombstones belonged to an earlier provider of that name",
)
