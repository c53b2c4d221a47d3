"""An enabled provider has no live and enabled model config.

Cleaning up models one by one leaves this behind; so does a provider that nobody has given
a model yet. Nobody can choose anything of it.

There is nothing to repair: create a model for it, or disable it.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chat_providers",
    key=("id",),
    message="provider {provider} is enabled, but has no live and enabled model",
    reads={
        "chat_providers": ("id", "provider", "enabled"),
        "chat_model_configs": ("provider", "enabled", "deleted"),
    },
    find="""
        select p.id, p.provider
        from chat_providers p
        where p.enabled
          and not exists (
              select from chat_model_configs c
              where c.provider = p.provider and c.enabled and not c.deleted
          )
        order by p.id
    """,
)
