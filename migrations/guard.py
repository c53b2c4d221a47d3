"""The guard: a foreign key that holds for live model configs alone.

It stands beside the revisions, not among them: opt-in, at any revision from 0002 on.

Both tables get a column `sexton_live`, which is always true on a provider, true on a live
config and null on a tombstone. The key is (provider, sexton_live), and a key of which one
column is null (MATCH SIMPLE) is not looked up: tombstones may name whoever they like. A
trigger keeps the column, so that nobody needs to know of it, and a CHECK ties it to
`deleted` where the trigger was not asked. No step rewrites a table, and no scan holds a
lock that readers or writers mind.

Everything is called `sexton_...` and lies beside the tables, not in the schema `sexton`:
the product's own writes need it, so it must survive what happens to that schema.
"""

from typing import Any

Step = dict[str, Any]

COLUMN = "sexton_live"
KEY = "sexton_guard"  # the foreign key, and the trigger
MARKER = "sexton_guard_marker"  # the CHECK on either table
TARGET = "sexton_guard_target"  # the parent's unique index
PARENT, CHILD = "chat_providers", "chat_model_configs"

# What the column must be, as one writes it and as the catalogs say it.
MARK = "nullif(not {row}deleted, false)"
MARK_READ = "NULLIF((NOT {row}deleted), false)"
BODY = f"""
begin
    if not new.deleted then
        new.{COLUMN} := true;
    else
        new.{COLUMN} := null;
    end if;
    return new;
end
"""


def _column(table: str, not_null: bool) -> str:
    return f"""
        select exists (
            select
            from pg_catalog.pg_attribute a
            join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attrelid = to_regclass('{table}')
              and a.attname = '{COLUMN}'
              and not a.attisdropped
              and a.atttypid = 'boolean'::regtype
              and a.attnotnull = {not_null}
              and pg_get_expr(d.adbin, d.adrelid) = 'true'
        )
    """  # noqa: S608 - literals of this file


def _checks(table: str, expression: str) -> str:
    """The CHECKs of a table with this expression, to go on after `select`."""
    return f"""
        from pg_catalog.pg_constraint k
        where k.contype = 'c'
          and k.conrelid = to_regclass('{table}')
          and pg_get_expr(k.conbin, k.conrelid) = '{expression}'
          and to_jsonb(k) ->> 'conenforced' is distinct from 'false'
    """


PARENT_CHECKS = _checks(PARENT, COLUMN)
CHILD_CHECKS = _checks(
    CHILD, f"(NOT ({COLUMN} IS DISTINCT FROM {MARK_READ.format(row='')}))"
)

_NUMBER = """(
    select attnum from pg_catalog.pg_attribute
    where attrelid = k.{table} and attname = '{name}'
)"""
_PAIR = "array[{0}, {1}]"


def _pair(table: str) -> str:
    return _PAIR.format(
        _NUMBER.format(table=table, name="provider"),
        _NUMBER.format(table=table, name=COLUMN),
    )


# PostgreSQL 18 can switch a key off, any version its triggers.
KEYS = f"""
    from pg_catalog.pg_constraint k
    where k.contype = 'f'
      and k.conrelid = to_regclass('{CHILD}')
      and k.confrelid = to_regclass('{PARENT}')
      and k.conkey = {_pair("conrelid")}
      and k.confkey = {_pair("confrelid")}
      and k.confmatchtype = 's' and k.confdeltype = 'a' and k.confupdtype = 'a'
      and to_jsonb(k) ->> 'conenforced' is distinct from 'false'
      and not exists (
          select from pg_catalog.pg_trigger t
          where t.tgconstraint = k.oid and t.tgenabled not in ('O', 'A')
      )
"""

INDEXES = f"""
    from pg_catalog.pg_index k
    where k.indrelid = to_regclass('{PARENT}')
      and k.indisunique and k.indimmediate and k.indisvalid and k.indisready
      and k.indpred is null and k.indexprs is null
      and string_to_array(k.indkey::text, ' ')::int2[] = {_pair("indrelid")}
"""

# Bits of tgtype: each row, before, insert, update.
TRIGGERS = f"""
    from pg_catalog.pg_trigger k
    join pg_catalog.pg_proc f on f.oid = k.tgfoid
    where k.tgrelid = to_regclass('{CHILD}')
      and k.tgtype = 1 + 2 + 4 + 16
      and string_to_array(k.tgattr::text, ' ')::int2[] = array[
          {_NUMBER.format(table="tgrelid", name="deleted")},
          {_NUMBER.format(table="tgrelid", name=COLUMN)}
      ]
      and pg_get_triggerdef(k.oid) like
          '% WHEN ((new.{COLUMN} IS DISTINCT FROM {MARK_READ.format(row="new.")})) %'
      and k.tgenabled in ('O', 'A')
      and f.prosrc = '{BODY}'
"""

# Each part and the query that says whether it is there, in the order of their making.
PARTS = {
    f"column {COLUMN} on {PARENT}": _column(PARENT, not_null=True),
    f"CHECK {MARKER} on {PARENT}": (
        f"select exists (select {PARENT_CHECKS} and k.convalidated)"
    ),
    f"unique index {TARGET} on {PARENT}": f"select exists (select {INDEXES})",
    f"column {COLUMN} on {CHILD}": _column(CHILD, not_null=False),
    f"trigger {KEY} on {CHILD}": f"select exists (select {TRIGGERS})",
    f"CHECK {MARKER} on {CHILD}": (
        f"select exists (select {CHILD_CHECKS} and k.convalidated)"
    ),
    f"foreign key {KEY} on {CHILD}": f"select exists (select {KEYS} and k.convalidated)",
}
(
    _PARENT_COLUMN,
    _PARENT_CHECK,
    _TARGET,
    _CHILD_COLUMN,
    _TRIGGER,
    _CHILD_CHECK,
    _KEY,
) = PARTS.values()

# Whether anything at all is there that `remove` would take away.
ANYTHING = f"""
    select exists (
        select from pg_catalog.pg_attribute
        where attrelid in (to_regclass('{PARENT}'), to_regclass('{CHILD}'))
          and attname = '{COLUMN}' and not attisdropped
    ) or exists (
        select from pg_catalog.pg_trigger
        where tgrelid = to_regclass('{CHILD}') and tgname = '{KEY}'
    ) or exists (
        select from pg_catalog.pg_constraint
        where conrelid in (to_regclass('{PARENT}'), to_regclass('{CHILD}'))
          and conname in ('{KEY}', '{MARKER}')
    ) or exists (
        select from pg_catalog.pg_proc f
        join pg_catalog.pg_class c on c.relnamespace = f.pronamespace
        where c.oid = to_regclass('{CHILD}')
          and f.proname = '{KEY}' and f.pronargs = 0
    )
"""  # noqa: S608 - literals of this file


def _validate(table: str, constraints: str) -> list[str]:
    return [
        f"""
        do $$
        declare
            one name;
        begin
            for one in select k.conname {constraints} and not k.convalidated loop
                execute format(
                    'alter table {table} validate constraint %I', one
                );
            end loop;
        end
        $$
        """
    ]


def _beside_the_table(statement: str) -> str:
    """Run a statement with %1$I standing for the schema that the child lies in."""
    return f"""
        do $do$
        begin
            execute format(
                $s${statement}$s$,
                (
                    select n.nspname from pg_catalog.pg_class c
                    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                    where c.oid = to_regclass('{CHILD}')
                )
            );
        end
        $do$
    """  # noqa: S608 - literals of this file


ORPHANS = (
    f"""
    select count(*) as n, string_agg(distinct quote_literal(c.provider), ', ') as names
    from {CHILD} c
    where not c.deleted
      and not exists (select from {PARENT} p where p.provider = c.provider)
    having count(*) > 0
    """,  # noqa: S608 - literals of this file
    "{n} live model configs are orphans: there is no provider {names}",
)
REPAIR = "sexton repair model_without_provider, then run the same command again"

NO_SCHEMA_RIGHT = (
    f"""
    select current_user as role, c.relnamespace::regnamespace as schema
    from pg_catalog.pg_class c
    where c.oid = to_regclass('{CHILD}')
      and not has_schema_privilege(c.relnamespace, 'create')
    """,  # noqa: S608 - literals of this file
    "the role {role} may not create a function in the schema {schema}: "
    "grant create on schema {schema} to {role}",
)

# To go on after `exists (select`: the key of the time before tombstones.
_PLAIN_KEY = f"""
    from pg_catalog.pg_constraint k
    where k.contype = 'f'
      and k.conrelid = to_regclass('{CHILD}')
      and k.confrelid = to_regclass('{PARENT}')
      and k.conkey = array[{_NUMBER.format(table="conrelid", name="provider")}]
"""
UNPROMISED = (
    f"select true as bare where not exists (select {_PLAIN_KEY})",
    "the database will no longer promise that a live model config has a provider; "
    "sexton audit model_without_provider looks",
)

UNMARKED = f"select from {CHILD} where deleted and {COLUMN}"

ADD: list[Step] = [
    {
        "title": f"add the column {COLUMN} to {PARENT}, always true",
        "lock": "access exclusive",
        "tables": [PARENT],
        "done": f"""
            select ({_PARENT_COLUMN}) and exists (select {PARENT_CHECKS})
        """,
        "sql": [
            f"alter table {PARENT} "
            f"add column if not exists {COLUMN} boolean not null default true",
            f"alter table {PARENT} alter {COLUMN} set default true, "
            f"alter {COLUMN} set not null",
            f"alter table {PARENT} drop constraint if exists {MARKER}",
            f"alter table {PARENT} add constraint {MARKER} check ({COLUMN}) not valid",
        ],
    },
    {
        "title": f"validate the CHECK on {PARENT}.{COLUMN}",
        "lock": "share update exclusive",
        "tables": [PARENT],
        "alone": True,
        "scans": [PARENT],
        "done": _PARENT_CHECK,
        "sql": _validate(PARENT, PARENT_CHECKS),
    },
    {
        "title": "build the unique index that the key refers to",
        "lock": "share update exclusive",
        "tables": [PARENT],
        "alone": True,
        "scans": [PARENT],
        "done": _TARGET,
        "sql": [
            # What a failed build left behind is invalid, and in the way.
            f"drop index concurrently if exists {TARGET}",
            f"create unique index concurrently {TARGET} on {PARENT} (provider, {COLUMN})",
        ],
    },
    {
        "title": f"add the column {COLUMN} to {CHILD}, and the trigger that keeps it",
        "lock": "access exclusive",
        "tables": [CHILD],
        "refuse": [NO_SCHEMA_RIGHT],
        "done": f"select ({_CHILD_COLUMN}) and ({_TRIGGER})",
        "sql": [
            f"alter table {CHILD} add column if not exists {COLUMN} boolean default true",
            f"alter table {CHILD} alter {COLUMN} set default true",
            _beside_the_table(
                f"create or replace function %1$I.{KEY}() returns trigger "
                f"language plpgsql as $f${BODY}$f$"
            ),
            f"drop trigger if exists {KEY} on {CHILD}",
            # It is called only where the column is wrong: live rows have their default.
            _beside_the_table(
                f"create trigger {KEY} before insert or update of deleted, {COLUMN} "
                f"on {CHILD} for each row "
                f"when (new.{COLUMN} is distinct from {MARK.format(row='new.')}) "
                f"execute function %1$I.{KEY}()"
            ),
            # Also for rows that a replication worker writes.
            f"alter table {CHILD} enable always trigger {KEY}",
        ],
    },
    {
        "title": f"mark the tombstones: {COLUMN} is null",
        "lock": "row exclusive",
        "tables": [CHILD],
        "alone": True,
        "scans": [CHILD],
        "done": f"select ({_CHILD_CHECK}) or not exists ({UNMARKED})",
        "sql": [
            # A few at a time, around those that somebody is writing, until none is left.
            f"""
            do $$
            declare
                one record;
                n bigint := 0;
            begin
                while exists ({UNMARKED}) loop
                    for one in select id from {CHILD} where deleted and {COLUMN} loop
                        update {CHILD} set {COLUMN} = null
                        where id = (
                            select id from {CHILD}
                            where id = one.id and deleted and {COLUMN}
                            for no key update skip locked
                        );
                        n := n + 1;
                        if n % 1000 = 0 then
                            commit;
                        end if;
                    end loop;
                    commit;
                    perform pg_sleep(0.05);
                end loop;
            end
            $$
            """,  # noqa: S608 - literals of this file
        ],
    },
    {
        "title": f"add the CHECK that ties {COLUMN} to deleted, not yet valid",
        "lock": "access exclusive",
        "tables": [CHILD],
        "done": f"select exists (select {CHILD_CHECKS})",
        "sql": [
            f"alter table {CHILD} drop constraint if exists {MARKER}",
            f"alter table {CHILD} add constraint {MARKER} check "
            f"({COLUMN} is not distinct from {MARK.format(row='')}) not valid",
        ],
    },
    {
        "title": f"validate the CHECK on {CHILD}.{COLUMN}",
        "lock": "share update exclusive",
        "tables": [CHILD],
        "alone": True,
        "scans": [CHILD],
        "done": _CHILD_CHECK,
        "sql": _validate(CHILD, CHILD_CHECKS),
    },
    {
        "title": "add the key for live rows, not yet valid",
        "lock": "share row exclusive",
        "tables": [PARENT, CHILD],
        "done": f"select exists (select {KEYS})",
        "sql": [
            f"alter table {CHILD} drop constraint if exists {KEY}",
            f"alter table {CHILD} add constraint {KEY} "
            f"foreign key (provider, {COLUMN}) "
            f"references {PARENT} (provider, {COLUMN}) not valid",
        ],
    },
    {
        "title": "validate the key for live rows",
        "lock": "share update exclusive",
        "tables": [CHILD],
        "alone": True,
        "scans": [CHILD],
        "refuse": [ORPHANS],
        "hint": REPAIR,
        "done": _KEY,
        "sql": _validate(CHILD, KEYS),
    },
]

REMOVE: list[Step] = [
    {
        "title": "take the guard away: key, trigger, function and columns",
        "lock": "access exclusive",
        "tables": [PARENT, CHILD],
        "warn": [UNPROMISED],
        "done": f"select not ({ANYTHING.strip().removeprefix('select')})",
        "sql": [
            f"drop trigger if exists {KEY} on {CHILD}",
            _beside_the_table(f"drop function if exists %1$I.{KEY}()"),
            # With their columns go the keys, CHECKs and indexes over them.
            f"alter table {CHILD} drop constraint if exists {KEY}, "
            f"drop constraint if exists {MARKER}, drop column if exists {COLUMN}",
            f"alter table {PARENT} drop constraint if exists {MARKER}, "
            f"drop column if exists {COLUMN}",
        ],
    },
]
