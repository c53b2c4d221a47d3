"""The default model config belongs to a provider that is deleted or does not exist.

The product soft-deletes a provider and leaves its model configs live, the default among
them. Every chat that falls back to the default then fails.

The repair takes the flag from the orphan and elects another default: the first usable
config by provider type and model, and if no config is usable, the first of them. The
orphan itself stays; `model_without_provider` repairs it. Nothing is lost.
"""

from sexton.check import Check, Reference, Severity, Update

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_model_configs",
    key=("id",),
    message="default model {model} belongs to provider {ai_provider_id}, which is deleted "
    "or does not exist",
    reads={
        "chat_model_configs": ("model", "deleted", "is_default"),
        "ai_providers": ("deleted",),
    },
    reference=Reference(
        *("ai_provider_id", "ai_providers", "id"),
        parent_where="not parent.deleted",
        guarded=True,
    ),
    where="this.is_default and not this.deleted",
    select={"model": "this.model"},
    repair=Update(
        set={"is_default": "false"},
        why="its provider is deleted or does not exist, so model {model} cannot serve as "
        "the default",
    ),
    after=("model_without_provider",),
    followed_by=("default_missing",),
)
