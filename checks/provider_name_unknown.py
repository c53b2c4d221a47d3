"""A model config names a provider that the product does not know.

Names are case-sensitive and have a fixed spelling; only the providers' own table checks
it. Without the foreign key a config may carry any text: an old name, other case, blanks.
No provider row can ever match, and a downgrade, which needs a row for each name, refuses.

There is no automatic repair: the message says which known name was probably meant, and
only a person can tell whether it was.
"""

from checks.base import Check, Severity

check = Check(
    __name__,
    severity=Severity.WARNING,
    table="chat_model_configs",
    key=("id",),
    message="model {model} names provider '{provider}', which is no known name{meant}",
    reads={"chat_model_configs": ("id", "provider", "model")},
    find="""
        with known as (
            select name
            from unnest(array[
                'anthropic', 'azure', 'bedrock', 'google', 'openai', 'openai-compat',
                'openrouter', 'vercel'
            ]) as name
        )
        select c.id, c.provider, c.model,
            coalesce(
                (select format(' (%s?)', k.name) from known k
                 where k.name = lower(btrim(c.provider, E' \\t\\r\\n'))),
                ''
            ) as meant
        from chat_model_configs c
        where not exists (select from known k where k.name = c.provider)
        order by c.id
    """,
    decide="rename the provider of the config to the name that was meant",
)
