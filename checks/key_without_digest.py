"""A stored API key and the digest of its encryption key contradict each other.

The database encrypts keys, yet this one names no encryption key, so it probably lies
there in plain text; or a digest stands beside no key at all. Encryption enabled late, or
a manual update, leaves this behind.

There is no repair here, for Sexton never touches keys: let the product encrypt them again.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_providers",
    key=("id",),
    message="the API key of row {id} in {table} {problem}",
    reads={
        "chat_providers": ("id", "api_key", "api_key_key_id"),
        "user_chat_provider_keys": ("id", "api_key", "api_key_key_id"),
        "dbcrypt_keys": ("active_key_digest",),
    },
    fallbacks={"dbcrypt_keys": "select null::text as active_key_digest where false"},
    find="""
        select
            k.id,
            k."table",
            case
                when k.api_key = '' then 'is empty, yet a digest stands beside it'
                else 'has no digest, yet the database encrypts its keys'
            end as problem
        from (
            select 'chat_providers' as "table", p.id, p.api_key, p.api_key_key_id
            from chat_providers p
            union all
            select 'user_chat_provider_keys', u.id, u.api_key, u.api_key_key_id
            from user_chat_provider_keys u
        ) k
        where k.api_key = '' and k.api_key_key_id is not null
           or k.api_key <> '' and k.api_key_key_id is null and exists (
               select from dbcrypt_keys d where d.active_key_digest is not null
           )
        order by k.id
    """,
    manual_action="let the product encrypt its keys again",
)
