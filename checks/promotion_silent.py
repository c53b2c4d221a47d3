"""The default was chosen by the system, and nobody was told.

When the default goes, the next config takes its place, with no author and no notice. The
trace is a default without `updated_by`, changed after its creation; tombstones of the same
instant say which deletion it was. The next change of the row wipes the trace.

There is nothing to repair: look whether this default is wanted, and promote another if
it is not.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chat_model_configs",
    key=("id",),
    message="default model {model} of {provider} was promoted without an author{because}",
    reads={
        "chat_model_configs": (
            *("id", "provider", "model", "is_default", "deleted", "deleted_at"),
            *("created_at", "updated_at", "updated_by"),
        ),
    },
    find="""
        select
            c.id,
            c.provider,
            c.model,
            case
                when t.tombstones > 0
                then format(', as %s models were deleted', t.tombstones)
                else ''
            end as because
        from chat_model_configs c
        cross join lateral (
            select count(*) as tombstones
            from chat_model_configs d
            where d.deleted and d.deleted_at = c.updated_at
        ) t
        where c.is_default and not c.deleted
          and c.updated_by is null
          and c.updated_at > c.created_at
        order by c.id
    """,
)
