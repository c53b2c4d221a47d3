"""A provider looks like a stub: disabled, without key, address, label or author.

A downgrade writes such rows so that the foreign key can come back. They stay when the way
up is taken by other means than Sexton's, and then block creating that provider again.

There is no automatic repair: fill the row by an update if the provider is wanted, or
delete it. While the foreign key stands, deleting it deletes its model configs for good.
"""

from checks.base import Check, Severity

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
    decide="fill the provider in, or delete it: sexton provider delete NAME",
)
