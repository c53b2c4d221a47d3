"""A provider looks like a stub: disabled, without key, address, label or author.

A downgrade writes such rows so that the foreign key can come back. They stay when the way
up is taken by other means than Sexton's, and then block creating that provider again.

The repair deletes a stub that has no live model configs, and takes `--unsafe`. While the
foreign key stands it does not, for that would delete the tombstones for good. If the
provider is wanted, fill the row in instead.
"""

from sexton.check import Check, Delete, Severity

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chat_providers",
    key=("id",),
    message="provider {provider} is disabled and was never filled in: a stub",
    reads={
        "chat_providers": (
            *("id", "provider", "display_name", "api_key", "created_by", "enabled"),
            *("created_at", "updated_at", "base_url"),
        ),
        "chat_model_configs": ("provider", "deleted"),
    },
    find="""
        select p.id, p.provider
        from chat_providers p
        where not p.enabled
          and p.api_key = '' and p.base_url = '' and p.display_name = ''
          and p.created_by is null
          and p.created_at = p.updated_at
        order by p.id
    """,
    repair=Delete(
        where="""
            not exists (
                select from chat_model_configs c
                where c.provider = found.provider and not c.deleted
            )
            and not exists (
                select from pg_catalog.pg_constraint k
                where k.contype = 'f'
                  and k.conrelid = to_regclass('chat_model_configs')
                  and k.confrelid = to_regclass('chat_providers')
            )
        """,
        why="{provider} was never filled in, and no live config needs it",
    ),
    after=("default_missing",),
    data_loss="a provider's row, though one that was never filled in",
    manual_action="fill the provider in, or delete it: sexton provider delete NAME",
)
