"""What the guard is made of, as queries of the catalogs: no check, but facts for some.

The guard is a foreign key for live model configs alone; `sexton guard` sets it. Its parts
are known by their definitions and not by their names.
"""

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

NUMBER = """(
    select attnum from pg_catalog.pg_attribute
    where attrelid = k.{table} and attname = '{name}'
)"""
_PAIR = "array[{0}, {1}]"


def _pair(table: str) -> str:
    return _PAIR.format(
        NUMBER.format(table=table, name="provider"),
        NUMBER.format(table=table, name=COLUMN),
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
          {NUMBER.format(table="tgrelid", name="deleted")},
          {NUMBER.format(table="tgrelid", name=COLUMN)}
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
    PARENT_COLUMN,
    PARENT_CHECK,
    VALID_TARGET,
    CHILD_COLUMN,
    TRIGGER,
    CHILD_CHECK,
    VALID_KEY,
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

# The name of the key that enforces a live model config's provider: valid, and not looked
# up for tombstones alone, as a valid CHECK says. The trigger need not be there for that.
ENFORCED = f"""
    select k.conname as name {KEYS}
      and k.convalidated and ({CHILD_CHECK})
    order by k.conname limit 1
"""

WHOLE_OR_ABSENT = " and ".join(f"({query})" for query in PARTS.values())
WHOLE_OR_ABSENT = f"(case when ({ANYTHING}) then {WHOLE_OR_ABSENT} else true end)"
