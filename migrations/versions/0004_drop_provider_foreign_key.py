"""Drop the foreign key from model configs to providers.

From here on a provider can be deleted while old chats still mention its models, and the
database no longer promises that a model has a provider: `sexton audit` does.

The downgrade writes a disabled stub for every provider name that has configs but no row,
remembers the stubs in `sexton.provider_stubs`, then restores the key. The upgrade removes
the stubs that nobody touched, once the key is gone.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
GUARD = "before"  # set before the plain key goes, it leaves no moment without either

TABLES = ["chat_providers", "chat_model_configs"]

# Statements see the schema of the tables too, where others may have put functions and
# operators: what these do not match exactly is called by its whole name.
KEYS = """
    from pg_catalog.pg_constraint
    where contype = 'f'
      and conrelid = pg_catalog.to_regclass('chat_model_configs')::pg_catalog.oid
      and confrelid = pg_catalog.to_regclass('chat_providers')::pg_catalog.oid
      and conkey operator(pg_catalog.=) array[(
          select attnum from pg_catalog.pg_attribute
          where attrelid = conrelid and attname = 'provider'
      )]
"""

MISSING = """
    from chat_model_configs c
    where not exists (select from chat_providers p where p.provider = c.provider)
"""

REMEMBER = """
    create table if not exists sexton.provider_stubs (
        id uuid primary key,
        made_at timestamptz not null,
        models uuid[] not null
    )
"""

# The names in the CHECK on chat_providers.provider, as the catalog has it.
ALLOWED = """
    select m.word[1] as name
    from pg_catalog.pg_constraint k
    cross join lateral regexp_matches(
        pg_get_constraintdef(k.oid), '''([^'']*)''::text', 'g'
    ) as m (word)
    where k.contype = 'c'
      and k.conrelid = to_regclass('chat_providers')
      and k.conkey = array[(
          select attnum from pg_catalog.pg_attribute
          where attrelid = k.conrelid and attname = 'provider'
      )]
"""

UPGRADE = [
    {
        "title": "drop the foreign key",
        "lock": "access exclusive",
        "tables": TABLES,
        "warn": [
            (
                f"""
                select count(*) as n, string_agg(
                    distinct quote_literal(c.provider), ', '
                ) as names
                {MISSING} and not c.deleted having count(*) > 0
                """,
                "live model configs without a provider: {n}, of {names}; "
                "sexton repair model_without_provider",
            ),
            (
                """
                select count(*) as n from chat_model_configs
                where deleted <> (deleted_at is not null) having count(*) > 0
                """,
                "tombstones that are half set: {n}; sexton repair tombstone_half_set",
            ),
        ],
        "irreversible": "a provider that is deleted afterwards comes back as a disabled "
        "stub alone",
        "done": f"select not exists (select {KEYS})",
        "facts": [
            (
                "chat_model_configs",
                "the provider key",
                "a plain foreign key from provider to chat_providers still stands, or is "
                "back",
                f"select not exists (select {KEYS})",
            )
        ],
        "sql": [
            f"""
            do $$
            declare
                key name;
            begin
                for key in select conname {KEYS} loop
                    execute pg_catalog.format(
                        'alter table chat_model_configs drop constraint %I', key
                    );
                end loop;
            end
            $$
            """,
        ],
    },
    {
        "title": "remove the stubs that a downgrade left and nobody touched",
        "lock": "access exclusive",  # nobody may give one a user's key meanwhile
        "tables": TABLES,
        "facts": [],
        "done": "select to_regclass('sexton.provider_stubs') is null",
        "sql": [
            REMEMBER,
            # Filled, enabled, keyed, or with a config that was not there: it is in use.
            {
                "delete": "chat_providers",
                "where": """
                    exists (
                        select from sexton.provider_stubs s
                        where s.id = this.id
                          and this.updated_at = s.made_at
                          and not exists (
                              select from chat_model_configs c
                              where c.provider = this.provider and not c.deleted
                                and c.id <> all (s.models)
                          )
                    )
                    and not this.enabled
                    and this.api_key = '' and this.base_url = ''
                    and this.display_name = ''
                    and this.api_key_key_id is null and this.created_by is null
                    and this.central_api_key_enabled
                    and not this.allow_user_api_key
                    and not this.allow_central_api_key_fallback
                    and not exists (
                        select from user_chat_provider_keys k
                        where k.chat_provider_id = this.id
                    )
                """,
            },
            "drop table sexton.provider_stubs",
        ],
    },
]

DOWNGRADE = [
    {
        "title": "write stubs for missing providers, and add the key, not yet valid",
        "lock": "share row exclusive",
        "tables": TABLES,
        "scans": TABLES,
        "refuse": [
            (
                f"""
                with allowed as ({ALLOWED})
                select string_agg(
                    quote_literal(c.provider) || ' (' || c.ids
                    || case when c.n > 3 then ' and ' || c.n - 3 || ' more' else '' end
                    || coalesce('; did it mean ' || quote_literal(a.name) || '?', '')
                    || ')',
                    ', ' order by c.provider
                ) as names
                from (
                    select m.provider, max(m.ordinal) as n,
                           string_agg(m.id::text, ', ' order by m.ordinal) filter (
                               where m.ordinal <= 3
                           ) as ids
                    from (
                        select c.provider, c.id, row_number() over (
                            partition by c.provider order by c.id
                        ) as ordinal
                        {MISSING}
                    ) m
                    group by m.provider
                ) c
                left join allowed a on a.name = lower(btrim(c.provider))
                where exists (select from allowed)
                  and c.provider not in (select name from allowed)
                having count(*) > 0
                """,  # noqa: S608 - literals of this file
                "model configs, tombstones among them, name providers that chat_providers "
                "does not allow: {names}; update chat_model_configs.provider, or delete "
                "those configs, first",
            ),
            (
                """
                select where not exists (
                    select from pg_catalog.pg_index i
                    where i.indrelid = to_regclass('chat_providers')
                      and i.indisunique and i.indisvalid and i.indimmediate
                      and i.indpred is null and i.indnkeyatts = 1
                      and i.indkey[0] = (
                          select attnum from pg_catalog.pg_attribute
                          where attrelid = i.indrelid and attname = 'provider'
                      )
                )
                """,
                "chat_providers.provider is not unique, so no key can refer to it: "
                "alter table chat_providers add constraint chat_providers_provider_key "
                "unique (provider)",
            ),
            (
                f"""
                select string_agg(quote_ident(a.attname), ', ' order by attnum) as names
                from pg_catalog.pg_attribute a
                where a.attrelid = to_regclass('chat_providers')
                  and a.attnum > 0 and not a.attisdropped
                  and a.attnotnull and not a.atthasdef and a.attidentity = ''
                  and a.attname <> 'provider'
                  and exists (select {MISSING})
                having count(*) > 0
                """,  # noqa: S608 - literals of this file
                "stubs cannot be written: chat_providers has columns that are not null "
                "and have no default ({names}); give them a default first",
            ),
        ],
        "done": f"""
            select exists (select {KEYS} and confdeltype = 'c')
               and not exists (select {MISSING})
        """,
        "sql": [
            REMEMBER,
            f"""
            insert into sexton.provider_stubs (id, made_at, models)
            select
                pg_catalog.gen_random_uuid(), pg_catalog.now(), pg_catalog.array_agg(c.id)
            {MISSING}
            group by c.provider
            """,
            {
                "insert": "chat_providers",
                "columns": ["id", "provider", "enabled"],
                "source": f"""
                    select s.id, m.provider, false
                    from sexton.provider_stubs s
                    join (select c.id, c.provider {MISSING}) m on m.id = s.models[1]
                """,  # noqa: S608 - literals of this file
            },
            """
            update sexton.provider_stubs s set made_at = p.updated_at
            from chat_providers p where p.id = s.id
            """,
            f"""
            do $$
            declare
                key name;
            begin
                for key in select conname {KEYS} and confdeltype <> 'c' loop
                    execute pg_catalog.format(
                        'alter table chat_model_configs drop constraint %I', key
                    );
                end loop;
                if not exists (select {KEYS}) then
                    alter table chat_model_configs
                        add constraint chat_model_configs_provider_fkey
                        foreign key (provider) references chat_providers (provider)
                        on delete cascade not valid;
                end if;
            end
            $$
            """,
        ],
    },
    {
        "title": "validate the key",
        "lock": "share update exclusive",
        "tables": ["chat_model_configs"],
        "outside_transaction": True,
        "scans": ["chat_model_configs"],
        "done": f"select coalesce(bool_and(convalidated), false) {KEYS}",
        "sql": [
            f"""
            do $$
            declare
                key name;
            begin
                for key in select conname {KEYS} and not convalidated loop
                    execute pg_catalog.format(
                        'alter table chat_model_configs validate constraint %I', key
                    );
                end loop;
            end
            $$
            """
        ],
    },
]


def upgrade():
    op.run_steps(UPGRADE, at=down_revision)


def downgrade():
    op.run_steps(DOWNGRADE, at=revision)
