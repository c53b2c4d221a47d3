"""There are live model configs, yet none of them is the default.

A deletion of the provider that owns the default, racing with the first config of another
provider, leaves this behind; so do manual SQL and partial restores. New chats, and chats
whose model is a tombstone, fail with `no default chat model config is available`.

The repair promotes the first usable config (live, enabled, under an enabled provider) in
the database's order of provider and model. Nothing is lost. Where no config is usable, a
person must enable one, or its provider, first.
"""

from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.ERROR,
    elects=True,
    table="chat_model_configs",
    key=(),
    message="none of {live} live models is the default; {usable} of them are usable",
    reads={
        "chat_model_configs": (
            *("id", "provider", "model", "enabled", "is_default", "deleted"),
            "updated_at",
        ),
        "chat_providers": ("provider", "enabled"),
    },
    find="""
        select
            count(*) as live,
            count(*) filter (where c.enabled and p.enabled) as usable
        from chat_model_configs c
        left join chat_providers p on p.provider = c.provider
        where not c.deleted
        having count(*) > 0 and not bool_or(c.is_default)
    """,
    repair=Update(
        set={"is_default": "true"},
        joins="""
            cross join lateral (
                select e.id, e.others
                from (
                    select
                        c.id,
                        row_number() over election as ordinal,
                        string_agg(format('%s of %s', c.model, c.provider), ', ') over (
                            election rows between 1 following and 2 following
                        ) as others
                    from chat_model_configs c
                    join chat_providers p on p.provider = c.provider
                    where not c.deleted and c.enabled and p.enabled
                    window election as (
                        order by c.provider, c.model, c.updated_at desc, c.id desc
                    )
                ) e
                where e.ordinal = 1
            ) heir
        """,
        where="this.id = heir.id",
        select={
            "model": "this.model",
            "provider": "this.provider",
            "others": "coalesce('; the next are ' || heir.others, '')",
        },
        why="{model} of {provider} is the first of {usable} usable models by provider and "
        "model{others}",
    ),
    after=("default_ambiguous", "orphaned_default"),
    manual_action="if no config is usable, enable one, or its provider, and run it again",
)
