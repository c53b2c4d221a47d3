"""A stored secret and the digest of its encryption key contradict each other.

The database encrypts API keys and provider settings, but this secret names no encryption
key, so it is probably stored as plain text; or a digest is stored without a secret. This
happens if encryption was enabled late, or after a manual update.

There is no repair, because Sexton never changes secrets: let the product encrypt them
again.
"""

from sexton.check import Check, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="ai_provider_keys",
    key=("id",),
    message="the secret of row {id} in {table} {problem}",
    reads={
        "ai_provider_keys": ("id", "api_key", "api_key_key_id"),
        "user_ai_provider_keys": ("id", "api_key", "api_key_key_id"),
        "ai_providers": ("id", "settings", "settings_key_id"),
        "dbcrypt_keys": ("active_key_digest",),
    },
    fallbacks={"dbcrypt_keys": "select null::text as active_key_digest where false"},
    find="""
        select
            k.id,
            k."table",
            case
                when k.secret = '' then 'is empty, yet a digest stands beside it'
                else 'has no digest, yet the database encrypts its secrets'
            end as problem
        from (
            select 'ai_provider_keys' as "table", p.id, p.api_key as secret,
                p.api_key_key_id as digest
            from ai_provider_keys p
            union all
            select 'user_ai_provider_keys', u.id, u.api_key, u.api_key_key_id
            from user_ai_provider_keys u
            union all
            select 'ai_providers', a.id, coalesce(a.settings, ''), a.settings_key_id
            from ai_providers a
        ) k
        where k.secret = '' and k.digest is not null
           or k.secret <> '' and k.digest is null and exists (
               select from dbcrypt_keys d where d.active_key_digest is not null
           )
        order by k.id
    """,
    manual_action="let the product encrypt its secrets again",
)
