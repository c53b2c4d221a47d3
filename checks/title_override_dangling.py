"""The setting for the model that writes titles names a model that cannot be used.

It holds a config's id as text, and deleting a provider or a model leaves it behind. Unlike
the other overrides it has no fallback: from v2.34 on, the automatic title is skipped with
a warning in the server's log, and asking for a title by hand is an error (upstream's
`coderd/x/chatd/title_override.go`, failure mode Hard, and `quickgen.go`). v2.33 and
earlier do not read the setting, so it breaks with the upgrade.

The repair clears the setting, which means the default; the journal keeps what it was. A
model or provider that is merely disabled may be enabled again, so a person must decide.
"""

from sexton.chat.settings import SITE, TITLE, USABILITY, judged
from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="site_configs",
    key=("key",),
    message="setting {key} {problem}",
    reads={"site_configs": ("key", "value"), **USABILITY},
    parent="chat_model_configs",
    find=f"""
        select s.key, s.problem from ({judged(SITE)}) s
        where s.key = '{TITLE}' and s.named is not null
        order by s.key
    """,  # noqa: S608 - queries of ours
    repair=Update(
        set={"value": "''"},
        where="found.problem not like '%disabled'",
        why="it {problem}",
    ),
    after=("default_missing",),
    manual_action="choose a usable model for titles, or clear the setting",
)
