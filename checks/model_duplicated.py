"""Two live model configs offer the same model of the same provider.

Nothing forbids it: an older unique constraint was dropped. People see the same name twice
and cannot tell which one carries which limits and prices.

There is no automatic repair: choose the one to keep, point the settings that name the
other one to it, then delete the other.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_model_configs",
    key=("id",),
    message="model {model} of {provider} is one of {copies} live configs of that name",
    reads={"chat_model_configs": ("id", "provider", "model", "deleted")},
    find="""
        select d.id, d.provider, d.model, d.copies
        from (
            select
                c.id, c.provider, c.model,
                count(*) over (
                    -- Releases later than v2.36 have configs for each organization.
                    partition by
                        to_jsonb(c) ->> 'organization_id', c.provider, c.model
                ) as copies
            from chat_model_configs c
            where not c.deleted
        ) d
        where d.copies > 1
        order by d.id
    """,
    manual_action="keep one of them and delete the others: sexton model delete ID",
)
