"""The default model config is disabled.

Disabling a config does not move the default. Chats that fall back to it then have no
model to use, and members cannot choose one they are not offered.

There is no automatic repair: enable the config, or promote another one with
`sexton model promote ID`. Which of the two is wanted, only a person knows.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_model_configs",
    key=("id",),
    message="default model {model} of {provider} is disabled",
    reads={
        "chat_model_configs": (
            *("id", "provider", "model", "enabled", "is_default", "deleted"),
        ),
    },
    find="""
        select c.id, c.provider, c.model
        from chat_model_configs c
        where c.is_default and not c.deleted and not c.enabled
        order by c.id
    """,
    manual_action="enable the default, or promote another: sexton model promote ID",
)
