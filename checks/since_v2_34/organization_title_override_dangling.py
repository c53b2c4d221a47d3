"""An organization's model for titles cannot be used, so chats get no title.

Unlike the other overrides it has no fallback: the automatic title is skipped with a
warning in the server's log, and asking for a title by hand is an error (upstream's
`coderd/x/chatd/title_override.go`, failure mode Hard, and `quickgen.go`).

The repair deletes the row, which means the default; undo brings it back. A model or
provider that is merely disabled may be enabled again, so a person must decide.
"""

from sexton.chat.settings import ORGANIZATION_OVERRIDES
from sexton.check import Check, Delete, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
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
          and s.context = 'title_generation'
        order by s.id
    """,
    repair=Delete(where="found.problem not like '%disabled'", why="the model is {problem}"),
    after=("default_missing",),
    manual_action="choose a usable model for titles, or remove the override",
)
