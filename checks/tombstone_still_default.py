"""A tombstone still has the flag of the default.

This is by design: deleting a config leaves `is_default` as it was, so that one can see
what it used to be. The index of the one default counts live configs only.

There is nothing to repair. Whoever brings the config back to life must clear the flag
first, or the index refuses a second default.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chat_model_configs",
    key=("id",),
    message="model {model} of {provider}, a tombstone, was the default",
    reads={
        "chat_model_configs": ("id", "provider", "model", "is_default", "deleted"),
    },
    find="""
        select c.id, c.provider, c.model
        from chat_model_configs c
        where c.deleted and c.is_default
        order by c.id
    """,
)
