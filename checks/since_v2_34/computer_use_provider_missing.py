"""The provider type chosen for computer use has no enabled provider.

The setting holds a provider's type as text. Deleting or disabling the last provider of
that type does not change the setting, and computer use fails without naming the reason.

The repair clears the setting if no provider has that type; the journal keeps the value.
A disabled provider may be enabled again, so a person must decide.
"""

from sexton.chat.settings import COMPUTER_USE
from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="site_configs",
    key=("key",),
    message="setting {key} names provider type '{provider}', of which {state}",
    reads={
        "site_configs": ("key", "value"),
        "ai_providers": ("name", "enabled", "deleted"),
    },
    parent="ai_providers",
    find=f"""
        select s.key, s.provider,
            case when s.live then 'every provider is disabled' else 'no provider exists' end
                as state
        from (
            select s.key, btrim(s.value) as provider,
                coalesce(bool_or(not p.deleted), false) as live,
                coalesce(bool_or(p.enabled and not p.deleted), false) as usable
            from site_configs s
            left join ai_providers p
              on btrim(s.value) in (p.name, to_jsonb(p) ->> 'type')
            where s.key = '{COMPUTER_USE}' and btrim(s.value) <> ''
            group by s.key, s.value
        ) s
        where not s.usable
        order by s.key
    """,  # noqa: S608 - a name of ours
    repair=Update(
        set={"value": "''"},
        where="found.state = 'no provider exists'",
        why="no provider of that type exists",
    ),
    after=("default_missing",),
    manual_action="enable a provider of that type, or choose another type",
)
