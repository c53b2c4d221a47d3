"""A site setting names a model that cannot be used.

The settings that override the model for exploring, general work, titles and compaction
hold a config's id as text. Deleting a provider or a model leaves them behind, and the
product then silently uses another model, usually the default. The one for titles has no
such fallback: see `title_override_dangling`.

The repair clears the setting, which means the default; the journal keeps what it was. A
model or provider that is merely disabled may be enabled again, so a person must decide.
"""

from sexton.chat.settings import SITE, TITLE, USABILITY, judged
from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="site_configs",
    key=("key",),
    message="setting {key} {problem}",
    reads={"site_configs": ("key", "value"), **USABILITY},
    parent="chat_model_configs",
    find=f"""
        select s.key, s.problem from ({judged(SITE)}) s
        where s.key <> '{TITLE}' or s.named is null
        order by s.key
    """,  # noqa: S608 - queries of ours
    repair=Update(
        set={"value": "''"},
        where="found.problem not like '%disabled'",
        why="it {problem}",
    ),
    after=("default_missing",),
    manual_action="choose a usable model for the setting, or clear it",
)
