"""Drop the foreign key from model configs to providers.

From here on a provider can be deleted while old chats still mention its models, and the
database no longer promises that a model has a provider: `sexton audit` does.

The downgrade writes a disabled stub for every provider name that has configs but no row,
remembers the stubs in `sexton.provider_stubs`, then restores the key. The upgrade removes
the stubs that nobody touched.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = ["chat_providers", "chat_model_configs"]

KEYS = """
    from pg_catalog.pg_constraint
    where contype = 'f'
      and conrelid = 'chat_model_configs'::regclass
      and confrelid = 'chat_providers'::regclass
      and conkey = array[(
          select attnum from pg_catalog.pg_attribute
          where attrelid = conrelid and attname = 'provider'
      )]
"""

UPGRADE = [
    {
        "title": "drop the foreign key, and the stubs that a downgrade left",
        "lock": "access exclusive",
        "tables": TABLES,
        "done": f"""
            select not exists (select {KEYS})
               and to_regclass('sexton.provider_stubs') is null
        """,
        "sql": [
            f"""
            do $$
            declare
                key name;
            begin
                for key in select conname {KEYS} loop
                    execute format(
                        'alter table chat_model_configs drop constraint %I', key
                    );
                end loop;
            end
            $$
            """,
            """
            create table if not exists sexton.provider_stubs (
                id uuid primary key, made_at timestamptz not null
            )
            """,
            """
            delete from chat_providers p
            using sexton.provider_stubs s
            where s.id = p.id
              and not p.enabled
              and p.updated_at = s.made_at
              and p.api_key = '' and p.base_url = '' and p.display_name = ''
              and not exists (
                  select from user_chat_provider_keys k
                  where k.chat_provider_id = p.id
              )
              and not exists (
                  select from chat_model_configs c
                  where c.provider = p.provider and not c.deleted
                    and c.created_at > s.made_at
              )
            """,
            "drop table sexton.provider_stubs",
        ],
    },
]

DOWNGRADE = [
    {
        "title": "write stubs for missing providers, and add the key, not yet valid",
        "lock": "share row exclusive",
        "tables": TABLES,
        "refuse": [
            (
                """
                select string_agg(distinct quote_literal(c.provider), ', ') as names
                from chat_model_configs c
                where c.provider <> all (array[
                    'anthropic', 'azure', 'bedrock', 'google', 'openai',
                    'openai-compat', 'openrouter', 'vercel'
                ])
                having count(*) > 0
                """,
                "model configs name providers that chat_providers does not allow: "
                "{names}; rename or delete them first",
            )
        ],
        "done": f"select exists (select {KEYS})",
        "sql": [
            """
            create table if not exists sexton.provider_stubs (
                id uuid primary key, made_at timestamptz not null
            )
            """,
            """
            with stubs as (
                insert into chat_providers (provider, enabled)
                select distinct c.provider, false
                from chat_model_configs c
                where not exists (
                    select from chat_providers p where p.provider = c.provider
                )
                returning id, created_at
            )
            insert into sexton.provider_stubs select id, created_at from stubs
            """,
            """
            alter table chat_model_configs
                add constraint chat_model_configs_provider_fkey foreign key (provider)
                references chat_providers (provider) on delete cascade not valid
            """,
        ],
    },
    {
        "title": "validate the key",
        "lock": "share update exclusive",
        "tables": ["chat_model_configs"],
        "done": f"select bool_and(convalidated) {KEYS}",
        "sql": [
            """
            alter table chat_model_configs
                validate constraint chat_model_configs_provider_fkey
            """
        ],
    },
]


def upgrade():
    op.run_steps(UPGRADE)


def downgrade():
    op.run_steps(DOWNGRADE)
