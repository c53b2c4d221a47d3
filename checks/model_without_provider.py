"""A live model config names a provider that has no row.

Without the foreign key nothing stops a raw INSERT, an old replica of the server or a
restore from writing one, and renaming a provider makes many. Administrators see the
model, members do not, and a turn that uses it fails.

The repair turns the config into a tombstone, as deleting its provider would have:
history keeps it, nobody can choose it any more. Nothing else is lost. To keep it in use
instead, create the provider again before repairing. A config whose provider is merely
misspelt is left alone; `provider_name_unknown` repairs it.
"""

from sexton.check import Check, Reference, Severity, Update

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_model_configs",
    key=("id",),
    message="model {model} names provider {provider}, which does not exist",
    reads={"chat_model_configs": ("model", "deleted")},
    reference=Reference("provider", "chat_providers", "provider", guarded=True),
    where="not this.deleted",
    select={"model": "this.model"},
    repair=Update(
        set={"deleted": "true", "deleted_at": "now()"},
        where="""
            not exists (
                select from chat_providers p
                where p.provider = lower(btrim(found.provider, E' \\t\\r\\n'))
            )
        """,
        select={"models": "count(*) over (partition by found.provider)"},
        why="provider {provider} has no row; as a tombstone, model {model} stays in old "
        "chats (live models that `sexton provider add` would keep instead: {models})",
        order="this.is_default",
    ),
    after=("message_without_model", "provider_name_unknown", "tombstone_half_set"),
    manual_action="the name is misspelt; to repair it: sexton repair provider_name_unknown",
    followed_by=("default_missing",),
)
