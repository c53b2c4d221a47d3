"""The default model config names a provider that has no row.

Promotion that looks only at names can pick an orphan, and deleting a provider behind the
tool's back leaves its default standing. Every chat that falls back to the default then
fails.

The repair takes the flag from the orphan and promotes the first usable config, in the
database's order of provider and model. The orphan stays; `model_without_provider` cures
it. Nothing is lost.
"""

from sexton.check import Check, Reference, Severity
from sexton.guard.facts import ENFORCED

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_model_configs",
    key=("id",),
    message="default model {model} names provider {provider}, which does not exist",
    reads={"chat_model_configs": ("model", "deleted", "is_default")},
    reference=Reference("provider", "chat_providers", "provider", enforced_by=ENFORCED),
    where="this.is_default and not this.deleted",
    select={"model": "this.model"},
    repair="""
        select
            'chat_model_configs' as "table",
            jsonb_build_object('id', c.id) as key,
            jsonb_build_object(
                'is_default', jsonb_build_array(true, false),
                'updated_at', jsonb_build_array(c.updated_at, 'now')
            ) as change,
            format(
                'provider %s has no row, so model %s cannot serve as the default',
                c.provider, c.model
            ) as why
        from chat_model_configs c
        where not c.deleted
          and c.is_default
          and not exists (
              select from chat_providers p where p.provider = c.provider
          )
        order by c.id
    """,
    followed_by=("default_missing",),
)
