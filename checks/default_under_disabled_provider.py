"""The default model config stands under a disabled provider.

Switching a provider off does not move the default, and promotion as upstream does it
looks at neither switch. Members are not offered the model, and chats that fall back to it
fail.

There is no automatic repair: enable the provider, or promote another config with
`sexton model promote ID`. Which of the two is wanted, only a person knows.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_model_configs",
    key=("id",),
    message="default model {model} stands under provider {provider}, which is disabled",
    reads={
        "chat_model_configs": ("id", "provider", "model", "is_default", "deleted"),
        "chat_providers": ("provider", "enabled"),
    },
    find="""
        select c.id, c.provider, c.model
        from chat_model_configs c
        join chat_providers p on p.provider = c.provider
        where c.is_default and not c.deleted and not p.enabled
        order by c.id
    """,
    manual_action="enable the provider, or promote another: sexton model promote ID",
)
