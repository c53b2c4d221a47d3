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

from sexton.guard.facts import (
    ANYTHING,
    BODY,
    CHILD,
    CHILD_CHECK,
    CHILD_CHECKS,
    CHILD_COLUMN,
    COLUMN,
    KEY,
    KEYS,
    MARK,
    MARKER,
    NUMBER,
    PARENT,
    PARENT_CHECK,
    PARENT_CHECKS,
    PARENT_COLUMN,
    TARGET,
    TRIGGER,
    VALID_KEY,
    VALID_TARGET,
)

Step = dict[str, Any]


def _validate(table: str, constraints: str) -> list[str]:
    return [
        f"""
        do $$
        declare
            one name;
        begin
            for one in select k.conname {constraints} and not k.convalidated loop
                execute pg_catalog.format(
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
            execute pg_catalog.format(
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
      and k.conkey = array[{NUMBER.format(table="conrelid", name="provider")}]
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
            select ({PARENT_COLUMN}) and exists (select {PARENT_CHECKS})
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
        "outside_transaction": True,
        "scans": [PARENT],
        "done": PARENT_CHECK,
        "sql": _validate(PARENT, PARENT_CHECKS),
    },
    {
        "title": "build the unique index that the key refers to",
        "lock": "share update exclusive",
        "tables": [PARENT],
        "outside_transaction": True,
        "scans": [PARENT],
        "done": VALID_TARGET,
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
        "done": f"select ({CHILD_COLUMN}) and ({TRIGGER})",
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
        "outside_transaction": True,
        "scans": [CHILD],
        "done": f"select ({CHILD_CHECK}) or not exists ({UNMARKED})",
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
        "outside_transaction": True,
        "scans": [CHILD],
        "done": CHILD_CHECK,
        "sql": _validate(CHILD, CHILD_CHECKS),
    },
    {
        "title": "drop a key that bears the name, and is another",
        "lock": "access exclusive",
        "tables": [PARENT, CHILD],
        "done": f"""
            select exists (select {KEYS}) or not exists (
                select from pg_catalog.pg_constraint
                where conrelid = to_regclass('{CHILD}') and conname = '{KEY}'
            )
        """,  # noqa: S608 - literals of this file
        "sql": [f"alter table {CHILD} drop constraint {KEY}"],
    },
    {
        "title": "add the key for live rows, not yet valid",
        "lock": "share row exclusive",
        "tables": [PARENT, CHILD],
        "done": f"select exists (select {KEYS})",
        "sql": [
            # No `drop ... if exists` here: it locks readers out even where nothing is.
            f"alter table {CHILD} add constraint {KEY} "
            f"foreign key (provider, {COLUMN}) "
            f"references {PARENT} (provider, {COLUMN}) not valid",
        ],
    },
    {
        "title": "validate the key for live rows",
        "lock": "share update exclusive",
        "tables": [CHILD],
        "outside_transaction": True,
        "scans": [CHILD],
        "reads": [PARENT],
        "refuse": [ORPHANS],
        "hint": REPAIR,
        "done": VALID_KEY,
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
