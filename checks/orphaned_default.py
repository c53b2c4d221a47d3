"""The default model config names a provider that has no row.

Promotion that looks only at names can pick an orphan, and deleting a provider behind the
tool's back leaves its default standing. Every chat that falls back to the default then
fails.

The repair takes the flag from the orphan and promotes the first usable config, in the
database's order of provider and model. The orphan stays; `model_without_provider` cures
it. Nothing is lost.
"""

from sexton.check import Check, Reference, Severity, Update

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_model_configs",
    key=("id",),
    message="default model {model} names provider {provider}, which does not exist",
    reads={"chat_model_configs": ("model", "deleted", "is_default")},
    reference=Reference("provider", "chat_providers", "provider", guarded=True),
    where="this.is_default and not this.deleted",
    select={"model": "this.model"},
    repair=Update(
        set={"is_default": "false"},
        why="provider {provider} has no row, so model {model} cannot serve as the default",
    ),
    after=("model_without_provider",),
    followed_by=("default_missing",),
)
