"""A model config names a provider that the product does not know.

Names are case-sensitive and have a fixed spelling; only the providers' own table checks
it. Without the foreign key a config may carry any text: an old name, other case, blanks.
No provider row can ever match, and a downgrade, which needs a row for each name, refuses.

The repair is made only when the check is named: it writes the known name that the text is
once blanks and case are set right. What is no known name even then, a person must rename.
"""

from sexton.check import Check, Severity

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
    repair="""
        select
            'chat_model_configs' as "table",
            jsonb_build_object('id', c.id) as key,
            jsonb_build_object(
                'provider', jsonb_build_array(c.provider, k.name),
                'updated_at', jsonb_build_array(c.updated_at, 'now')
            ) as change,
            format('without blanks and in lower case ''%s'' is %s', c.provider, k.name)
                as why
        from chat_model_configs c
        join unnest(array[
            'anthropic', 'azure', 'bedrock', 'google', 'openai', 'openai-compat',
            'openrouter', 'vercel'
        ]) as k (name) on k.name = lower(btrim(c.provider, E' \\t\\r\\n'))
        where c.provider <> k.name
        order by c.id
    """,
    opt_in=True,
    manual_action="rename the provider of the config to the name that was meant",
)
