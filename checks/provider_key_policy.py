"""An enabled provider's central key and the policy about it contradict each other.

The policy asks for a central key and none is stored, so every turn fails; or it forbids
one and an old key is still stored, a secret that once was used all the same. Disabled
providers are let be, and bedrock, which may sign with the credentials of its surroundings.

There is no automatic repair: store a key, change the policy, or delete the stored key on
request. A deleted key cannot be brought back.
"""

from sexton.chat.validation import KEYLESS as NAMES
from sexton.check import Check, Severity

KEYLESS = ", ".join(f"'{name}'" for name in NAMES)

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_providers",
    key=("id",),
    message="provider {provider} {problem}",
    reads={
        "chat_providers": (
            *("id", "provider", "enabled", "api_key", "central_api_key_enabled"),
        ),
    },
    find=f"""
        select
            p.id,
            p.provider,
            case
                when p.central_api_key_enabled then 'uses a central key but has none'
                else 'uses no central key but stores one'
            end as problem
        from chat_providers p
        where p.enabled
          and p.central_api_key_enabled = (p.api_key = '')
          and not (p.api_key = '' and p.provider = any (array[{KEYLESS}]))
        order by p.id
    """,  # noqa: S608 - names of ours
    manual_action="store a key, change the policy, or clear the stored key",
)
