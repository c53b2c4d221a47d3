"""A live model config names a provider that has no row.

Without the foreign key nothing stops a raw INSERT, an old replica of the server or a
restore from writing one, and renaming a provider makes many. Administrators see the
model, members do not, and a turn that uses it fails.

The repair turns the config into a tombstone, as deleting its provider would have:
history keeps it, nobody can choose it any more. Nothing else is lost. To keep it in use
instead, create the provider again before repairing.
"""

from checks.base import Check, Reference, Severity

# What `sexton guard add` sets: a valid key of which one column is null (so not looked up)
# on tombstones alone, as a valid CHECK says.
GUARD = """
    select k.conname as name
    from pg_catalog.pg_constraint k
    where k.contype = 'f' and k.convalidated
      and k.conrelid = to_regclass('chat_model_configs')
      and k.confrelid = to_regclass('chat_providers')
      and k.confmatchtype = 's'
      and (
          select array_agg(
              child.attname || ' to ' || parent.attname order by child.attname
          )
          from unnest(k.conkey, k.confkey) as pair (here, there)
          join pg_catalog.pg_attribute child
            on child.attrelid = k.conrelid and child.attnum = pair.here
          join pg_catalog.pg_attribute parent
            on parent.attrelid = k.confrelid and parent.attnum = pair.there
      ) = array['provider to provider', 'sexton_live to sexton_live']
      and to_jsonb(k) ->> 'conenforced' is distinct from 'false'
      and not exists (
          select from pg_catalog.pg_trigger t
          where t.tgconstraint = k.oid and t.tgenabled not in ('O', 'A')
      )
      and exists (
          select from pg_catalog.pg_constraint m
          where m.contype = 'c' and m.convalidated
            and m.conrelid = k.conrelid
            and pg_get_expr(m.conbin, m.conrelid)
                = '(NOT (sexton_live IS DISTINCT FROM NULLIF((NOT deleted), false)))'
            and to_jsonb(m) ->> 'conenforced' is distinct from 'false'
      )
    order by k.conname
    limit 1
"""

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_model_configs",
    key=("id",),
    message="model {model} names provider {provider}, which does not exist",
    reads={"chat_model_configs": ("model", "deleted")},
    reference=Reference("provider", "chat_providers", "provider", guard=GUARD),
    where="not this.deleted",
    shows={"model": "this.model"},
    repair="""
        select
            'chat_model_configs' as "table",
            jsonb_build_object('id', c.id) as key,
            jsonb_build_object(
                'deleted', jsonb_build_array(false, true),
                'deleted_at', jsonb_build_array(c.deleted_at, 'now'),
                'updated_at', jsonb_build_array(c.updated_at, 'now')
            ) as change,
            format(
                'provider %s has no row; as a tombstone, model %s stays in old chats',
                c.provider, c.model
            ) as why
        from chat_model_configs c
        where not c.deleted
          and not exists (
              select from chat_providers p where p.provider = c.provider
          )
        order by c.id
    """,
    brings=("default_missing",),
)
