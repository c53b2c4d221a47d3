"""More than one live model config is the default.

The partial unique index forbids it, so it is missing, invalid or without its predicate:
a hand-made change, a failed concurrent build, or a restore without indexes. Which default
a chat gets is then a matter of luck.

The repair keeps the default that is usable and was updated last (the larger id on ties)
and takes the flag from the others. Nothing else is lost; the others are listed. The index
must be built again: `sexton upgrade`.
"""

from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.ERROR,
    elects=True,
    table="chat_model_configs",
    key=("id",),
    message="model {model} of {provider} is one of {defaults} defaults",
    reads={
        "chat_model_configs": (
            *("id", "provider", "model", "enabled", "is_default", "deleted"),
            "updated_at",
        ),
        "chat_providers": ("provider", "enabled"),
    },
    find="""
        select d.id, d.provider, d.model, d.defaults
        from (
            select c.id, c.provider, c.model, count(*) over () as defaults
            from chat_model_configs c
            where c.is_default and not c.deleted
        ) d
        where d.defaults > 1
        order by d.id
    """,
    repair=Update(
        set={"is_default": "false"},
        joins="""
            cross join lateral (
                select c.id, c.provider, c.model
                from chat_model_configs c
                join chat_providers p on p.provider = c.provider
                where c.is_default and not c.deleted
                order by (c.enabled and p.enabled) desc, c.updated_at desc, c.id desc
                limit 1
            ) kept
        """,
        where="""
            found.id <> kept.id
            and this.provider in (select p.provider from chat_providers p)
        """,
        select={"kept": "kept.model", "owner": "kept.provider"},
        why="model {kept} of {owner} stays the default: the usable one updated last",
    ),
    after=("model_without_provider",),
    followed_by=("orphaned_default",),
)
