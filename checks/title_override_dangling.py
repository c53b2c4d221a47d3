"""The setting for the model that writes titles names a model that is gone.

It holds a config's id as text, and deleting a provider or a model leaves it behind. The
product then takes it as unset: titles are written by the default, and nothing fails.

The repair clears the setting, which is what happens anyway; the journal keeps what it was.
"""

from sexton.chat.settings import SITE, TITLE, USABILITY, judged
from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.INFO,
    table="site_configs",
    key=("key",),
    message="setting {key} {problem}",
    reads={"site_configs": ("key", "value"), **USABILITY},
    parent="chat_model_configs",
    find=f"""
        select s.key, s.problem from ({judged(SITE)}) s
        where s.key = '{TITLE}' and s.absent
        order by s.key
    """,  # noqa: S608 - queries of ours
    repair=Update(set={"value": "''"}, why="it {problem}, so it already counts as unset"),
    after=("default_missing",),
)
