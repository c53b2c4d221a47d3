"""Make the tables as they were before the change.

The columns that Sexton's work touches, named and typed as in the real product, with the
constraints between them. Model configs hang on their provider by a foreign key, ON DELETE
CASCADE, and a unique index allows one default.
"""

from alembic import op

revision = "0001"
down_revision = None

MODELS, PROVIDERS, TIME = "chat_model_configs", "chat_providers", "timestamp with time zone"


def column(table, name, type, default="", *, null=False):
    """The fact that a column has this type and default, and is NOT NULL or may be null."""
    words = type + " not null" * (not null) + f" default {default}" * bool(default)
    holds = f"""
        select exists (
            select
            from pg_catalog.pg_attribute a
            left join pg_catalog.pg_attrdef d
              on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attrelid = to_regclass('{table}')
              and a.attname = '{name}'
              and not a.attisdropped
              and a.atttypid = '{type}'::regtype
              and {"not " * null}a.attnotnull
              and coalesce(pg_get_expr(d.adbin, d.adrelid), '') = '{default}'
        )
    """  # noqa: S608 - literals of this file
    return (table, name, f"{name} is not {words}", holds)


def no_column(table, name):
    """The fact that there is no such column yet."""
    holds = f"""
        select not exists (
            select
            from pg_catalog.pg_attribute
            where attrelid = to_regclass('{table}')
              and attname = '{name}' and not attisdropped
        )
    """  # noqa: S608 - literals of this file
    return (table, name, f"{name} is there already", holds)


def constraint(table, definition):
    """The fact that a valid constraint is there, of this definition."""
    holds = f"""
        select exists (
            select
            from pg_catalog.pg_constraint k
            where k.conrelid = to_regclass('{table}')
              and k.convalidated
              and pg_get_constraintdef(k.oid) = '{definition}'
        )
    """  # noqa: S608 - literals of this file
    return (table, definition, f"it has no valid {definition}", holds)


def check(table, name):
    """The fact that a valid CHECK of this name is there."""
    holds = f"""
        select exists (
            select
            from pg_catalog.pg_constraint
            where conrelid = to_regclass('{table}')
              and contype = 'c' and convalidated and conname = '{name}'
        )
    """  # noqa: S608 - literals of this file
    return (table, name, f"it has no valid CHECK {name}", holds)


def key(table, column, parent, parent_column, *, cascade=False, subject=None):
    """The fact that a foreign key is there, valid and at work.

    Two triggers on either side do its work, and can be disabled.
    """
    definition = f"FOREIGN KEY ({column}) REFERENCES {parent}({parent_column})"
    definition += " ON DELETE CASCADE" * cascade
    number = """
        array[(select attnum from pg_catalog.pg_attribute
               where attrelid = k.{0} and attname = '{1}')]
    """
    holds = f"""
        select exists (
            select
            from pg_catalog.pg_constraint k
            where k.contype = 'f' and k.convalidated and not k.condeferrable
              and k.conrelid = to_regclass('{table}')
              and k.confrelid = to_regclass('{parent}')
              and k.conkey = {number.format("conrelid", column)}
              and k.confkey = {number.format("confrelid", parent_column)}
              and k.confdeltype = '{"c" if cascade else "a"}'
              and k.confupdtype = 'a' and k.confmatchtype = 's'
              and (
                  select count(*) filter (where t.tgenabled in ('O', 'A'))
                  from pg_catalog.pg_trigger t where t.tgconstraint = k.oid
              ) = 4
        )
    """  # noqa: S608 - literals of this file
    broken = f"it has no valid, enforced {definition}"
    return (table, subject or definition, broken, holds)


ONE_DEFAULT = """
    select exists (
        select
        from pg_catalog.pg_index i
        where i.indrelid = to_regclass('chat_model_configs')
          and i.indisunique and i.indisvalid and i.indisready and i.indislive
          and i.indnkeyatts = 1 and i.indkey::text = '0'
          and pg_get_expr(i.indexprs, i.indrelid) = '1'
          and pg_get_expr(i.indpred, i.indrelid) = '(is_default = true)'
    )
"""

FACTS = [
    column(MODELS, "id", "uuid", "gen_random_uuid()"),
    column(MODELS, "provider", "text"),
    column(MODELS, "model", "text"),
    column(MODELS, "enabled", "boolean", "true"),
    column(MODELS, "is_default", "boolean", "false"),
    column(MODELS, "updated_at", TIME, "now()"),
    no_column(MODELS, "deleted"),
    no_column(MODELS, "deleted_at"),
    constraint(MODELS, "PRIMARY KEY (id)"),
    (
        MODELS,
        "the index of the default",
        "no valid unique index allows just one default",
        ONE_DEFAULT,
    ),
    key(
        MODELS, "provider", PROVIDERS, "provider", cascade=True, subject="the provider key"
    ),
    column(PROVIDERS, "id", "uuid", "gen_random_uuid()"),
    column(PROVIDERS, "provider", "text"),
    column(PROVIDERS, "enabled", "boolean", "true"),
    constraint(PROVIDERS, "PRIMARY KEY (id)"),
    constraint(PROVIDERS, "UNIQUE (provider)"),
    check(PROVIDERS, "chat_providers_provider_check"),
    check(PROVIDERS, "valid_credential_policy"),
    column("chats", "last_model_config_id", "uuid"),
    key("chats", "last_model_config_id", MODELS, "id"),
    key("chat_messages", "model_config_id", MODELS, "id"),
    key("user_chat_provider_keys", "chat_provider_id", PROVIDERS, "id", cascade=True),
]

UPGRADE = [
    {
        "title": "make the tables",
        "done": "select to_regclass('chat_model_configs') is not null",
        "facts": FACTS,
        "sql": [
            """
            create type chat_status as enum (
                'waiting', 'pending', 'running', 'paused', 'completed', 'error',
                'requires_action'
            )
            """,
            """
            create type chat_message_role as enum (
                'system', 'user', 'assistant', 'tool'
            )
            """,
            """
            create table chat_providers (
                id uuid not null default gen_random_uuid(),
                provider text not null,
                display_name text not null default '',
                api_key text not null default '',
                api_key_key_id text,
                created_by uuid,
                enabled boolean not null default true,
                created_at timestamptz not null default now(),
                updated_at timestamptz not null default now(),
                base_url text not null default '',
                central_api_key_enabled boolean not null default true,
                allow_user_api_key boolean not null default false,
                allow_central_api_key_fallback boolean not null default false,
                constraint chat_providers_pkey primary key (id),
                constraint chat_providers_provider_key unique (provider),
                constraint chat_providers_provider_check check (
                    provider = any (array[
                        'anthropic', 'azure', 'bedrock', 'google', 'openai',
                        'openai-compat', 'openrouter', 'vercel'
                    ])
                ),
                constraint valid_credential_policy check (
                    (central_api_key_enabled or allow_user_api_key)
                    and (
                        not allow_central_api_key_fallback
                        or (central_api_key_enabled and allow_user_api_key)
                    )
                )
            )
            """,
            """
            create index idx_chat_providers_enabled on chat_providers (enabled)
            """,
            """
            create table chat_model_configs (
                id uuid not null default gen_random_uuid(),
                provider text not null,
                model text not null,
                display_name text not null default '',
                created_by uuid,
                updated_by uuid,
                enabled boolean not null default true,
                is_default boolean not null default false,
                created_at timestamptz not null default now(),
                updated_at timestamptz not null default now(),
                context_limit bigint not null,
                compression_threshold integer not null,
                options jsonb not null default '{}',
                constraint chat_model_configs_pkey primary key (id),
                constraint chat_model_configs_provider_fkey foreign key (provider)
                    references chat_providers (provider) on delete cascade,
                constraint chat_model_configs_compression_threshold_check check (
                    compression_threshold >= 0 and compression_threshold <= 100
                ),
                constraint chat_model_configs_context_limit_check check (
                    context_limit > 0
                )
            )
            """,
            """
            create index idx_chat_model_configs_enabled
                on chat_model_configs (enabled)
            """,
            """
            create index idx_chat_model_configs_provider
                on chat_model_configs (provider)
            """,
            """
            create index idx_chat_model_configs_provider_model
                on chat_model_configs (provider, model)
            """,
            """
            create unique index idx_chat_model_configs_single_default
                on chat_model_configs ((1)) where is_default = true
            """,
            """
            create table chats (
                id uuid not null default gen_random_uuid(),
                owner_id uuid not null,
                title text not null default 'New Chat',
                status chat_status not null default 'waiting',
                created_at timestamptz not null default now(),
                updated_at timestamptz not null default now(),
                last_model_config_id uuid not null,
                archived boolean not null default false,
                constraint chats_pkey primary key (id),
                constraint chats_last_model_config_id_fkey
                    foreign key (last_model_config_id)
                    references chat_model_configs (id)
            )
            """,
            """
            create index idx_chats_last_model_config_id
                on chats (last_model_config_id)
            """,
            "create index idx_chats_owner on chats (owner_id)",
            """
            create index idx_chats_pending on chats (status)
                where status = 'pending'
            """,
            """
            create table chat_messages (
                id bigserial not null,
                chat_id uuid not null,
                model_config_id uuid,
                created_at timestamptz not null default now(),
                role chat_message_role not null,
                content jsonb,
                total_cost_micros bigint,
                deleted boolean not null default false,
                constraint chat_messages_pkey primary key (id),
                constraint chat_messages_chat_id_fkey foreign key (chat_id)
                    references chats (id) on delete cascade,
                constraint chat_messages_model_config_id_fkey
                    foreign key (model_config_id) references chat_model_configs (id)
            )
            """,
            "create index idx_chat_messages_chat on chat_messages (chat_id)",
            """
            create index idx_chat_messages_chat_created
                on chat_messages (chat_id, created_at)
            """,
            """
            create index idx_chat_messages_created_at on chat_messages (created_at)
            """,
            """
            create table user_chat_provider_keys (
                id uuid not null default gen_random_uuid(),
                user_id uuid not null,
                chat_provider_id uuid not null,
                api_key text not null,
                api_key_key_id text,
                created_at timestamptz not null default now(),
                updated_at timestamptz not null default now(),
                constraint user_chat_provider_keys_pkey primary key (id),
                constraint user_chat_provider_keys_user_id_chat_provider_id_key
                    unique (user_id, chat_provider_id),
                constraint user_chat_provider_keys_api_key_check check (api_key <> ''),
                constraint user_chat_provider_keys_chat_provider_id_fkey
                    foreign key (chat_provider_id)
                    references chat_providers (id) on delete cascade
            )
            """,
        ],
    },
]

TABLES = (
    "user_chat_provider_keys",
    "chat_messages",
    "chats",
    "chat_model_configs",
    "chat_providers",
)

COUNT = "concat(count(*), case count(*) when 1 then ' row' else ' rows' end)"

DOWNGRADE = [
    {
        "title": "drop the tables",
        "lock": "access exclusive",
        "tables": TABLES[::-1],
        "irreversible": "the tables go; they must be empty",
        "refuse": [
            (
                f"select {COUNT} as n from {table} having count(*) > 0",  # noqa: S608
                f"{table} has {{n}}, which would be lost with the table",
            )
            for table in TABLES
        ],
        "hint": "sexton downgrade 0001 keeps the tables",
        "done": "select to_regclass('chat_model_configs') is null",
        "sql": [
            f"drop table {', '.join(TABLES)}",
            "drop type chat_status, chat_message_role",
        ],
    },
]


def upgrade():
    op.run_steps(UPGRADE, at=down_revision)


def downgrade():
    op.run_steps(DOWNGRADE, at=revision)
