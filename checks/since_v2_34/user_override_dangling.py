"""A user's own choice of model, for an organization, names a model that cannot be used.

Releases later than v2.36 keep these choices in `chat_user_model_overrides`. Its foreign
key accepts tombstones, so deleting a provider or a model leaves the choice behind, and
the chat silently uses the default.

The repair sets the choice to `chat_default`, which is what happens anyway; the journal
keeps the model. A model or provider that is merely disabled may be enabled again, so a
person must decide.
"""

from sexton.chat.settings import USER_OVERRIDES
from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.INFO,
    table="chat_user_model_overrides",
    key=("id",),
    message="choice {context} of user {user_id} in organization {organization_id} names "
    "model {model_config_id}, {problem}",
    reads={
        "chat_user_model_overrides": (
            *("id", "user_id", "organization_id", "context", "mode", "model_config_id"),
        ),
        "chat_model_configs": ("id", "organization_id", "enabled", "deleted"),
        "ai_providers": ("id", "enabled", "deleted"),
    },
    parent="chat_model_configs",
    find=f"""
        {USER_OVERRIDES}
        order by s.id
    """,
    repair=Update(
        set={"mode": "'chat_default'", "model_config_id": "null"},
        where="found.problem not like '%disabled'",
        why="the model is {problem}, so the chat uses the default anyway",
    ),
    after=("default_missing",),
    manual_action="set the choice to chat_default, or let the user choose again",
)
