"""A column, constraint or index is not what the database's revision says it is.

Hand edits, failed concurrent builds and restores without constraints leave an index
invalid or without its predicate, a key unchecked, cascading or with its triggers off, a
default flipped. Names stay the same, so `alembic check` sees nothing, and every promise
that rests on the catalogs is void.

There is no automatic repair: run `sexton upgrade` again for what a revision makes, and
mend the rest by hand to the definition that the finding names.
"""

from checks.base import Check, Severity

# What each revision promises, as the catalogs spell it. Columns are found by their name,
# the others by their definition: names may differ. A fact may be followed by the first
# revision for which it holds, and the first for which it does not.
COLUMNS = {
    "chat_providers": """
        id uuid not null default gen_random_uuid()
        provider text not null
        display_name text not null default ''::text
        api_key text not null default ''::text
        api_key_key_id text
        created_by uuid
        enabled boolean not null default true
        created_at timestamp with time zone not null default now()
        updated_at timestamp with time zone not null default now()
        base_url text not null default ''::text
        central_api_key_enabled boolean not null default true
        allow_user_api_key boolean not null default false
        allow_central_api_key_fallback boolean not null default false
    """,
    "chat_model_configs": """
        id uuid not null default gen_random_uuid()
        provider text not null
        model text not null
        display_name text not null default ''::text
        created_by uuid
        updated_by uuid
        enabled boolean not null default true
        is_default boolean not null default false
        created_at timestamp with time zone not null default now()
        updated_at timestamp with time zone not null default now()
        context_limit bigint not null
        compression_threshold integer not null
        options jsonb not null default '{}'::jsonb
        deleted boolean not null default false @0002
        deleted_at timestamp with time zone @0002
    """,
    "chats": """
        id uuid not null default gen_random_uuid()
        owner_id uuid not null
        title text not null default 'New Chat'::text
        status chat_status not null default 'waiting'::chat_status
        created_at timestamp with time zone not null default now()
        updated_at timestamp with time zone not null default now()
        last_model_config_id uuid not null
        archived boolean not null default false
    """,
    "chat_messages": """
        id bigint not null default nextval('chat_messages_id_seq'::regclass)
        chat_id uuid not null
        model_config_id uuid
        created_at timestamp with time zone not null default now()
        role chat_message_role not null
        content jsonb
        total_cost_micros bigint
        deleted boolean not null default false
    """,
    "user_chat_provider_keys": """
        id uuid not null default gen_random_uuid()
        user_id uuid not null
        chat_provider_id uuid not null
        api_key text not null
        api_key_key_id text
        created_at timestamp with time zone not null default now()
        updated_at timestamp with time zone not null default now()
    """,
}

CONSTRAINTS = {
    "chat_providers": """
        PRIMARY KEY (id)
        UNIQUE (provider)
        CHECK ((provider = ANY (ARRAY['anthropic'::text, 'azure'::text, 'bedrock'::text, \
'google'::text, 'openai'::text, 'openai-compat'::text, 'openrouter'::text, \
'vercel'::text])))
        CHECK (((central_api_key_enabled OR allow_user_api_key) AND \
((NOT allow_central_api_key_fallback) OR (central_api_key_enabled AND allow_user_api_key))))
    """,
    "chat_model_configs": """
        PRIMARY KEY (id)
        FOREIGN KEY (provider) REFERENCES chat_providers(provider) ON DELETE CASCADE \
@0001 @0004
        CHECK (((compression_threshold >= 0) AND (compression_threshold <= 100)))
        CHECK ((context_limit > 0))
    """,
    "chats": """
        PRIMARY KEY (id)
        FOREIGN KEY (last_model_config_id) REFERENCES chat_model_configs(id)
    """,
    "chat_messages": """
        PRIMARY KEY (id)
        FOREIGN KEY (chat_id) REFERENCES chats(id) ON DELETE CASCADE
        FOREIGN KEY (model_config_id) REFERENCES chat_model_configs(id)
    """,
    "user_chat_provider_keys": """
        PRIMARY KEY (id)
        UNIQUE (user_id, chat_provider_id)
        FOREIGN KEY (chat_provider_id) REFERENCES chat_providers(id) ON DELETE CASCADE
        CHECK ((api_key <> ''::text))
    """,
}

INDEXES = {
    "chat_providers": "btree (enabled)",
    "chat_model_configs": """
        btree (enabled)
        btree (provider)
        btree (provider, model)
        unique btree ((1)) WHERE (is_default = true) @0001 @0003
        unique btree ((1)) WHERE ((is_default = true) AND (deleted = false)) @0003
    """,
    "chats": """
        btree (last_model_config_id)
        btree (owner_id)
        btree (status) WHERE (status = 'pending'::chat_status)
    """,
    "chat_messages": """
        btree (chat_id)
        btree (chat_id, created_at)
        btree (created_at)
    """,
}


def _facts() -> list[tuple[str, str, str, str, str]]:
    """Each fact: kind, table, definition, since, until ('~' sorts after all revisions)."""
    facts = []
    for kind, tables in (
        ("column", COLUMNS),
        ("constraint", CONSTRAINTS),
        ("index", INDEXES),
    ):
        for table, lines in tables.items():
            for line in lines.strip().splitlines():
                definition, *held = (part.strip() for part in line.split("@"))
                since, until = (*held, *("0001", "~")[len(held) :])
                facts.append((kind, table, definition, since, until))
    return facts


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _values() -> str:
    return ",\n        ".join(f"({', '.join(map(_literal, fact))})" for fact in _facts())


# Put a query for the revision in the place of {at}.
QUERY = f"""
    with revision as (
        {{at}}
    ),
    promised (kind, tbl, definition, since, until) as (values
        {_values()}
    ),
    expected as (
        select
            p.*,
            to_regclass(p.tbl) as relation,
            case when kind = 'column' then split_part(definition, ' ', 1) end as column_name
        from promised p, revision r
        where r.at >= p.since and r.at < p.until
    ),
    actual (kind, relation, name, definition, fault) as (
        select
            'column', a.attrelid::regclass, a.attname::text,
            a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                || case when a.attnotnull then ' not null' else '' end
                || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''),
            null
        from pg_catalog.pg_attribute a
        left join pg_catalog.pg_attrdef d
          on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attnum > 0 and not a.attisdropped
          and a.attrelid in (select relation from expected)
        union all
        select
            'constraint', c.conrelid::regclass, c.conname::text,
            regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', ''),
            case
                when not c.convalidated then 'is not valid'
                when exists (
                    select from pg_catalog.pg_trigger t
                    where t.tgconstraint = c.oid and t.tgenabled in ('D', 'R')
                ) then 'has its triggers disabled'
            end
        from pg_catalog.pg_constraint c
        where c.contype in ('c', 'f', 'p', 'u')
          and c.conrelid in (select relation from expected)
        union all
        select
            'index', i.indrelid::regclass, i.indexrelid::regclass::text,
            case when i.indisunique then 'unique ' else '' end
                || substring(pg_get_indexdef(i.indexrelid) from ' USING (.*)$'),
            case when not (i.indisvalid and i.indisready) then 'is invalid' end
        from pg_catalog.pg_index i
        where i.indrelid in (select relation from expected)
    ),
    drifted ("table", object, problem) as (
        select distinct tbl, 'table ' || tbl, 'is missing'
        from expected
        where relation is null
        union all
        select
            e.tbl,
            'column ' || e.tbl || '.' || e.column_name,
            coalesce('is ' || quote_literal(a.definition) || ', not '
                || quote_literal(e.definition), 'is missing')
        from expected e
        left join actual a
          on a.kind = 'column' and a.relation = e.relation and a.name = e.column_name
        where e.kind = 'column' and e.relation is not null
          and a.definition is distinct from e.definition
        union all
        select
            e.tbl,
            e.kind || ' ' || e.definition || ' of ' || e.tbl,
            coalesce(max(a.name || ' ' || a.fault), 'is missing')
        from expected e
        left join actual a
          on a.kind = e.kind and a.relation = e.relation and a.definition = e.definition
        where e.kind <> 'column' and e.relation is not null
        group by e.tbl, e.kind, e.definition
        having count(a.name) filter (where a.fault is null) = 0
        union all
        select
            'chat_model_configs',
            'constraint ' || c.conname || ' of chat_model_configs',
            'still stands, or is back'
        from pg_catalog.pg_constraint c, revision r
        where r.at >= '0004'
          and c.contype = 'f'
          and c.conrelid = to_regclass('chat_model_configs')
          and c.confrelid = to_regclass('chat_providers')
          and cardinality(c.conkey) = 1
    )
    select "table", object, problem
    from drifted
    order by object
"""  # noqa: S608 - literals of this file

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="chat_model_configs",
    key=("object",),
    message="{object} {problem}",
    reads={"sexton.alembic_version": ("version_num",)},
    find=QUERY.replace("{at}", "select version_num as at from sexton.alembic_version"),
    decide="run sexton upgrade again, or mend it by hand to the definition named",
)
