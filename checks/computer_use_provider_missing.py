"""The provider chosen for computer use does not exist or is disabled.

The setting holds the provider's name as text. Deleting the provider, or switching it off,
does not touch the setting, and computer use fails without naming the reason.

The repair clears the setting where the provider does not exist; the journal keeps what it
was. A disabled provider may be enabled again, so a person must decide.
"""

from sexton.chat.settings import COMPUTER_USE
from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="site_configs",
    key=("key",),
    message="setting {key} names provider '{provider}', which {state}",
    reads={
        "site_configs": ("key", "value"),
        "chat_providers": ("provider", "enabled"),
    },
    parent="chat_providers",
    find=f"""
        select
            s.key,
            btrim(s.value) as provider,
            case when p.provider is null then 'does not exist' else 'is disabled' end
                as state
        from site_configs s
        left join chat_providers p on p.provider = btrim(s.value)
        where s.key = '{COMPUTER_USE}'
          and btrim(s.value) <> ''
          and p.enabled is not true
        order by s.key
    """,  # noqa: S608 - a name of ours
    repair=Update(
        set={"value": "''"},
        where="found.state = 'does not exist'",
        why="its provider does not exist",
    ),
    after=("default_missing",),
    manual_action="choose an enabled provider for computer use, or clear the setting",
)
