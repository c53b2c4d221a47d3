"""A model config names a provider that the product does not know.

Names are case-sensitive and have a fixed spelling; only the providers' own table checks
it. Without the foreign key a config may carry any text: an old name, other case, blanks.
No provider row can ever match, and a downgrade, which needs a row for each name, refuses.

The repair is made only when the check is named: it writes the known name that the text is
once blanks and case are set right. What is no known name even then, a person must rename.
"""

from sexton.check import Check, Severity, Update

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
            meant.name as known, coalesce(format(' (%s?)', meant.name), '') as meant
        from chat_model_configs c
        left join known meant on meant.name = lower(btrim(c.provider, E' \\t\\r\\n'))
        where not exists (select from known k where k.name = c.provider)
        order by c.id
    """,
    repair=Update(
        set={"provider": "found.known"},
        where="found.known is not null",
        why="without blanks and in lower case '{provider}' is {known}",
    ),
    after=("message_without_model",),
    opt_in=True,
    manual_action="rename the provider of the config to the name that was meant",
)
