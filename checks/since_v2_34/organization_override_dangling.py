"""An organization's choice of model names a model that cannot be used.

Releases later than v2.36 keep the models for exploring, general work, titles, compaction
and the advisor in `chat_organization_model_overrides`. Its foreign key accepts
tombstones, so deleting a provider or a model leaves the choice behind, and what it is for
falls back to the default or fails: see `organization_title_override_dangling` for titles.

The repair deletes the row, which means the default; undo brings it back. A model or
provider that is merely disabled may be enabled again, so a person must decide.
"""

from sexton.chat.settings import ORGANIZATION_OVERRIDES
from sexton.check import Check, Delete, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_organization_model_overrides",
    key=("id",),
    message="override {context} of organization {organization_id} names model "
    "{model_config_id}, {problem}",
    reads={
        "chat_organization_model_overrides": (
            *("id", "organization_id", "context", "model_config_id"),
        ),
        "chat_model_configs": ("id", "organization_id", "enabled", "deleted"),
        "ai_providers": ("id", "enabled", "deleted"),
    },
    parent="chat_model_configs",
    find=f"""
        {ORGANIZATION_OVERRIDES}
          and s.context <> 'title_generation'
        order by s.id
    """,
    repair=Delete(where="found.problem not like '%disabled'", why="the model is {problem}"),
    after=("default_missing",),
    manual_action="choose a usable model for the organization, or remove the override",
)
