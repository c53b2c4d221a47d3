"""A model config's `deleted_at` cannot be true.

It lies before the row was made, after its last update, or in the future (by more than a
minute, for clocks differ): an import, a second tombstoning, or a clock that was wrong.
Reports of what existed when are then wrong as well.

There is no automatic repair: when the config was deleted, only other records can tell.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_model_configs",
    key=("id",),
    message="model {model} of {provider}: deleted_at {deleted_at} {problem}",
    reads={
        "chat_model_configs": (
            *("id", "provider", "model", "deleted_at", "created_at", "updated_at"),
        ),
    },
    find="""
        select c.id, c.provider, c.model, to_json(c.deleted_at) #>> '{}' as deleted_at,
            case
                when c.deleted_at < c.created_at then 'is before its creation'
                when c.updated_at < c.deleted_at then 'is after its last update'
                else 'is in the future'
            end as problem
        from chat_model_configs c
        where c.deleted_at < c.created_at
           or c.updated_at < c.deleted_at
           or c.deleted_at > clock_timestamp() + interval '1 minute'
        order by c.id
    """,
    manual_action="find out when the config was deleted, and correct the column",
)
