"""A user's own choice of model names a model that cannot be used.

The choice is text: `model:` and a config's id, or a word that means a default. Deleting a
provider or a model leaves it behind, and the chat silently uses the default.

The repair sets the choice to `chat_default`, which is what happens anyway; the journal
keeps what it was. A model or provider that is merely disabled may be enabled again, so a
person must decide.
"""

from sexton.chat.settings import PERSONAL, USABILITY, judged
from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.INFO,
    table="user_configs",
    key=("user_id", "key"),
    message="setting {key} of user {user_id} {problem}",
    reads={"user_configs": ("user_id", "key", "value"), **USABILITY},
    parent="chat_model_configs",
    find=f"""
        select s.user_id, s.key, s.problem from ({judged(PERSONAL)}) s
        order by s.user_id, s.key
    """,  # noqa: S608 - queries of ours
    repair=Update(
        set={"value": "'chat_default'"},
        where="found.problem not like '%disabled'",
        why="it {problem}, so the chat uses the default anyway",
    ),
    after=("default_missing",),
    manual_action="set the choice to chat_default, or let the user choose again",
)
