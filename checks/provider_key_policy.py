"""A provider's central key and the policy about it contradict each other.

The policy asks for a central key and none is stored, so every turn fails; or it forbids
one and an old key is still stored, a secret that once was used all the same. Stubs of a
downgrade are of the first kind.

There is no automatic repair: store a key, change the policy, or delete the stored key on
request. A deleted key cannot be brought back.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_providers",
    key=("id",),
    message="provider {provider} {problem}",
    reads={
        "chat_providers": ("id", "provider", "api_key", "central_api_key_enabled"),
    },
    find="""
        select
            p.id,
            p.provider,
            case
                when p.central_api_key_enabled then 'uses a central key but has none'
                else 'uses no central key but stores one'
            end as problem
        from chat_providers p
        where p.central_api_key_enabled = (p.api_key = '')
        order by p.id
    """,
    manual_action="store a key, change the policy, or clear the stored key",
)
