"""A chat names a model config that does not exist.

The foreign key forbids it, so the key was dropped, is not valid, or a restore brought
back the chats without the configs. The chat's history can no longer say which model
wrote it.

The repair puts a placeholder, a tombstone, under the lost id: named as the last debug run
remembers it, else `unknown`. Nothing is lost, and the reference stays: setting it to NULL
would lose the model for good. A restored row is better: restore it first if you can.
"""

from sexton.check import Check, Reference, Severity

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chats",
    key=("id",),
    message="chat {id} names model {last_model_config_id}, which does not exist",
    reads={"chat_debug_runs": ("model_config_id", "provider", "model", "started_at")},
    fallbacks={
        "chat_debug_runs": """
            select
                null::uuid as model_config_id, null::text as provider,
                null::text as model, null::timestamptz as started_at
            where false
        """
    },
    reference=Reference("last_model_config_id", "chat_model_configs", "id"),
    repair="""
        with lost as (
            select distinct this.last_model_config_id as id
            from chats this
            where this.last_model_config_id is not null
              and not exists (
                  select from chat_model_configs c where c.id = this.last_model_config_id
              )
        ),
        remembered as (
            select distinct on (r.model_config_id)
                r.model_config_id as id, r.provider, r.model
            from chat_debug_runs r
            where r.model_config_id in (select l.id from lost l)
              and r.provider is not null and r.model is not null
            order by r.model_config_id, r.started_at desc
        )
        select
            'chat_model_configs' as "table",
            'insert' as kind,
            jsonb_build_object('id', l.id) as key,
            (
                select jsonb_object_agg(v.name, jsonb_build_array(null, v.value))
                from jsonb_each(jsonb_build_object(
                    'id', l.id,
                    'provider', coalesce(m.provider, 'openai-compat'),
                    'model', coalesce(m.model, 'unknown'),
                    'display_name', 'Placeholder for a lost model',
                    'enabled', false,
                    'is_default', false,
                    'deleted', true,
                    'deleted_at', 'now',
                    'created_at', 'now',
                    'updated_at', 'now',
                    'context_limit', 1,
                    'compression_threshold', 70,
                    'options', jsonb_build_object()
                )) as v (name, value)
            ) as change,
            case
                when m.id is null then 'no debug run remembers the model: it is recorded '
                    'as unknown, under the provider name that may be any'
                else format('a debug run remembers %s of %s', m.model, m.provider)
            end as why
        from lost l
        left join remembered m on m.id = l.id
        order by l.id
    """,
)
