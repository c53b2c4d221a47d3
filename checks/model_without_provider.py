"""A live model config names a provider that has no row.

Without the foreign key nothing stops a raw INSERT, an old replica of the server or a
restore from writing one, and renaming a provider makes many. Administrators see the
model, members do not, and a turn that uses it fails.

The repair turns the config into a tombstone, as deleting its provider would have:
history keeps it, nobody can choose it any more. Nothing else is lost. To keep it in use
instead, create the provider again before repairing. A config whose provider is merely
misspelt is left alone; `provider_name_unknown` mends it.
"""

from sexton.check import Check, Reference, Severity
from sexton.guard.facts import ENFORCED

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_model_configs",
    key=("id",),
    message="model {model} names provider {provider}, which does not exist",
    reads={"chat_model_configs": ("model", "deleted")},
    reference=Reference("provider", "chat_providers", "provider", enforced_by=ENFORCED),
    where="not this.deleted",
    select={"model": "this.model"},
    repair="""
        select
            'chat_model_configs' as "table",
            jsonb_build_object('id', c.id) as key,
            jsonb_build_object(
                'deleted', jsonb_build_array(false, true),
                'deleted_at', jsonb_build_array(c.deleted_at, 'now'),
                'updated_at', jsonb_build_array(c.updated_at, 'now')
            ) as change,
            format(
                'provider %s has no row; as a tombstone, model %s stays in old chats',
                c.provider, c.model
            ) as why
        from chat_model_configs c
        where not c.deleted
          and not exists (
              select from chat_providers p
              where p.provider in (
                  c.provider, lower(btrim(c.provider, E' \\t\\r\\n'))
              )
          )
        order by c.is_default, c.id
    """,
    manual_action="the name is misspelt; to mend it: sexton repair provider_name_unknown",
    followed_by=("default_missing",),
)
