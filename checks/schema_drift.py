"""The schema contradicts the revision that the database says it has.

Hand edits, a failed CREATE INDEX CONCURRENTLY, a restore that left out constraints, or a
stamp without a look. What the schema no longer promises, the data will break: two
defaults, models without a provider, tombstones that are not whole. Read from the
catalogs by definition, for `alembic check` sees neither predicates nor validity.

There is no automatic repair. Put back what the finding names; where a step was left half
done, stamp the revision below it and run `sexton upgrade`, which does only what is
missing.
"""

from dataclasses import dataclass
from typing import LiteralString

from sexton.check import Check, Severity
from sexton.guard.facts import WHOLE_OR_ABSENT

END = "9999"  # sorts after every revision


@dataclass(frozen=True)
class Fact:
    """Something about `table` that holds from revision `since` to before `until`.

    Facts of one `subject` follow each other: what the next revision changes.
    """

    subject: LiteralString
    table: LiteralString
    since: LiteralString
    until: LiteralString
    broken: LiteralString
    holds: LiteralString


def _column(
    table: LiteralString,
    name: LiteralString,
    type: LiteralString,
    default: LiteralString | None = None,
    *,
    null: bool = False,
    since: LiteralString = "0001",
) -> Fact:
    not_null: LiteralString = "not a.attnotnull" if null else "a.attnotnull"
    words: LiteralString = "" if null else " not null"
    value: LiteralString = default or ""
    shown: LiteralString = f" default {default}" if default else ""
    return Fact(
        name,
        table,
        since,
        END,
        f"{name} is not {type}{words}{shown}",
        f"""exists (
            select
            from pg_catalog.pg_attribute a
            left join pg_catalog.pg_attrdef d
              on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attrelid = to_regclass('{table}')
              and a.attname = '{name}'
              and not a.attisdropped
              and a.atttypid = '{type}'::regtype
              and {not_null}
              and coalesce(pg_get_expr(d.adbin, d.adrelid), '') = '{value}'
        )""",  # noqa: S608 - literals of this file
    )


def _no_column(name: LiteralString) -> Fact:
    return Fact(
        name,
        "chat_model_configs",
        "0001",
        "0002",
        f"{name} is there already",
        f"""not exists (
            select
            from pg_catalog.pg_attribute
            where attrelid = to_regclass('chat_model_configs')
              and attname = '{name}' and not attisdropped
        )""",  # noqa: S608 - literals of this file
    )


def _index(
    since: LiteralString,
    until: LiteralString,
    broken: LiteralString,
    predicate: LiteralString,
) -> Fact:
    return Fact(
        "the index of the default",
        "chat_model_configs",
        since,
        until,
        broken,
        f"""exists (
            select
            from pg_catalog.pg_index i
            where i.indrelid = to_regclass('chat_model_configs')
              and i.indisunique and i.indisvalid and i.indisready and i.indislive
              and i.indnkeyatts = 1 and i.indkey::text = '0'
              and pg_get_expr(i.indexprs, i.indrelid) = '1'
              and pg_get_expr(i.indpred, i.indrelid) = '{predicate}'
        )""",  # noqa: S608 - literals of this file
    )


def _constraint(
    table: LiteralString,
    definition: LiteralString,
    *,
    until: LiteralString = END,
    triggers: LiteralString = "0",
    target: LiteralString = "",
) -> Fact:
    refers: LiteralString = ""
    if target:
        refers = f" and k.confrelid = to_regclass('{target}')"
    return Fact(
        "the provider key" if until != END else definition,
        table,
        "0001",
        until,
        f"it has no valid, enforced {definition}",
        f"""exists (
            select
            from pg_catalog.pg_constraint k
            where k.conrelid = to_regclass('{table}')
              and k.convalidated{refers}
              and replace(
                  pg_get_constraintdef(k.oid),
                  -- Off the search path, the table referred to is shown with its schema.
                  ' REFERENCES ' || coalesce((
                      select quote_ident(n.nspname)
                      from pg_catalog.pg_class c
                      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                      where c.oid = k.confrelid
                  ), '') || '.',
                  ' REFERENCES '
              ) = '{definition}'
              and (
                  select count(*) filter (where t.tgenabled in ('O', 'A'))
                  from pg_catalog.pg_trigger t where t.tgconstraint = k.oid
              ) = {triggers}
        )""",  # noqa: S608 - literals of this file
    )


def _key(
    table: LiteralString,
    column: LiteralString,
    target: LiteralString,
    action: LiteralString = "",
    *,
    until: LiteralString = END,
) -> Fact:
    # Two triggers on either side do a key's work, and can be disabled.
    return _constraint(
        table,
        f"FOREIGN KEY ({column}) REFERENCES {target}{action}",
        until=until,
        triggers="4",
        target=target.partition("(")[0],
    )


def _check_on(table: LiteralString, name: LiteralString) -> Fact:
    return Fact(
        name,
        table,
        "0001",
        END,
        f"it has no valid CHECK {name}",
        f"""exists (
            select
            from pg_catalog.pg_constraint
            where conrelid = to_regclass('{table}')
              and contype = 'c' and convalidated and conname = '{name}'
        )""",  # noqa: S608 - literals of this file
    )


MODELS: LiteralString = "chat_model_configs"
PROVIDERS: LiteralString = "chat_providers"
TIME: LiteralString = "timestamp with time zone"

FACTS = (
    _column(MODELS, "id", "uuid", "gen_random_uuid()"),
    _column(MODELS, "provider", "text"),
    _column(MODELS, "model", "text"),
    _column(MODELS, "enabled", "boolean", "true"),
    _column(MODELS, "is_default", "boolean", "false"),
    _column(MODELS, "updated_at", TIME, "now()"),
    _no_column("deleted"),
    _column(MODELS, "deleted", "boolean", "false", since="0002"),
    _no_column("deleted_at"),
    _column(MODELS, "deleted_at", TIME, null=True, since="0002"),
    _constraint(MODELS, "PRIMARY KEY (id)"),
    _index(
        *("0001", "0003", "no valid unique index allows just one default"),
        "(is_default = true)",
    ),
    _index(
        *("0003", END, "no valid unique index allows just one live default"),
        "((is_default = true) AND (deleted = false))",
    ),
    _key(
        *(MODELS, "provider", "chat_providers(provider)", " ON DELETE CASCADE"),
        until="0004",
    ),
    Fact(
        "the provider key",
        MODELS,
        "0004",
        END,
        "a plain foreign key from provider to chat_providers still stands, or is back",
        """not exists (
            select
            from pg_catalog.pg_constraint
            where contype = 'f'
              and conrelid = to_regclass('chat_model_configs')
              and confrelid = to_regclass('chat_providers')
              and conkey = array[(
                  select attnum from pg_catalog.pg_attribute
                  where attrelid = conrelid and attname = 'provider'
              )]
        )""",
    ),
    _column(PROVIDERS, "id", "uuid", "gen_random_uuid()"),
    _column(PROVIDERS, "provider", "text"),
    _column(PROVIDERS, "enabled", "boolean", "true"),
    _constraint(PROVIDERS, "PRIMARY KEY (id)"),
    _constraint(PROVIDERS, "UNIQUE (provider)"),
    _check_on(PROVIDERS, "chat_providers_provider_check"),
    _check_on(PROVIDERS, "valid_credential_policy"),
    _column("chats", "last_model_config_id", "uuid"),
    _key("chats", "last_model_config_id", "chat_model_configs(id)"),
    _key("chat_messages", "model_config_id", "chat_model_configs(id)"),
    _key(
        *("user_chat_provider_keys", "chat_provider_id", "chat_providers(id)"),
        " ON DELETE CASCADE",
    ),
    Fact(
        "the guard",
        MODELS,
        "0001",
        END,
        "the guard is incomplete: sexton guard add makes it whole, "
        "sexton guard remove takes it away",
        WHOLE_OR_ABSENT,
    ),
)

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="pg_class",
    key=("relname",),
    message="{relname}: {broken}",
    reads={"sexton.alembic_version": ("version_num",)},
    find="""
        with fact (relname, since, until, broken, holds) as (
            values {FACTS}
        )
        select f.relname, string_agg(f.broken, '; ' order by f.broken) as broken
        from sexton.alembic_version v
        join fact f
          on f.since <= v.version_num collate "C"
         and f.until > v.version_num collate "C"
         and not f.holds
        group by f.relname
        order by relname
    """.replace(
        "{FACTS}",
        ",\n            ".join(
            f"('{f.table}', '{f.since}', '{f.until}', '{f.broken}', {f.holds})"
            for f in FACTS
        ),
    ),
    manual_action="put back what is missing, or stamp the revision the schema has",
)
