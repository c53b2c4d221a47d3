"""Whether a foreign key is enforced: the one proof, for plain keys and for guards.

A constraint that is VALID says what was true once. It stays true only if every row of
every table concerned has since been written past the key's triggers. So the proof asks

* the constraint, and its copies on partitions: validated, and ENFORCED (PostgreSQL 18);
* the tables: none inherits from the child, for a key holds for one table alone;
* the triggers: present and enabled, for INSERT and UPDATE on the child and for UPDATE and
  DELETE on the parent, on each partition of both;
* the actions: what CASCADE and SET NULL do to the child's rows is not checked again, so
  nothing may keep it from being done, no BEFORE trigger and no rule on the child;
* other writers: no subscription writes to these tables, and no role's or database's session
  and no function is set to `session_replication_role = replica`, unless the triggers are
  ENABLE ALWAYS;
* the comparison: the type's own equality, and not PERIOD's.

The conditions are SQL over the alias `k` of pg_constraint. They mean the same on any
search path, and ask catalogs alone: no lock of a table makes them wait.
"""

from typing import LiteralString

# Whether the constraint `k` is enforced: the column came with PostgreSQL 18.
ENFORCED: LiteralString = """
    coalesce(pg_catalog.jsonb_extract_path_text(
        pg_catalog.to_jsonb(k), 'conenforced'::pg_catalog.text
    )::pg_catalog.bool, true)
"""

# The copies of the key on partitions, and the tables that hold the rows of both sides.
_TREE: LiteralString = """
    copy (oid) as (
        select k.oid
        union all
        select c.oid
        from copy join pg_catalog.pg_constraint c on c.conparentid = copy.oid
    ),
    member (oid, child) as (
        select k.conrelid, true
        union
        select k.confrelid, false
        union
        select i.inhrelid, m.child
        from member m
        join pg_catalog.pg_class c on c.oid = m.oid and c.relkind = 'p'::pg_catalog."char"
        join pg_catalog.pg_inherits i on i.inhparent = m.oid
    ),
    leaf as (
        select m.oid, m.child
        from member m
        join pg_catalog.pg_class c on c.oid = m.oid and c.relkind <> 'p'::pg_catalog."char"
    )
"""


def _fires(event: LiteralString) -> LiteralString:
    """Whether a trigger of the key fires on an event at a leaf; a bit of `tgtype`."""
    return f"""exists (
        select from pg_catalog.pg_trigger t
        where t.tgrelid = leaf.oid and t.tgconstraint in (select oid from copy)
          and t.tgtype & {event}::pg_catalog.int2 <> 0::pg_catalog.int2
    )"""  # noqa: S608 - no value


# The key as it is made, validated or not: nothing that belongs to it is switched off.
# PERIOD compares ranges; its column came with PostgreSQL 18.
WHOLE: LiteralString = f"""
    coalesce(pg_catalog.jsonb_extract_path_text(
        pg_catalog.to_jsonb(k), 'conperiod'::pg_catalog.text
    )::pg_catalog.bool, false) = false
    and not exists (
        select from pg_catalog.pg_inherits i
        join pg_catalog.pg_class c on c.oid = i.inhparent
        where i.inhparent = k.conrelid and c.relkind <> 'p'::pg_catalog."char"
    )
    and not exists (
        select from pg_catalog.unnest(k.conpfeqop) as e (operator)
        where not exists (
            select from pg_catalog.pg_amop a
            join pg_catalog.pg_opclass o
              on o.opcfamily = a.amopfamily and o.opcdefault
            join pg_catalog.pg_am m
              on m.oid = o.opcmethod and m.amname = 'btree'::pg_catalog.name
            where a.amopopr = e.operator and a.amopstrategy = 3::pg_catalog.int2
        )
    )
    and (
        with recursive {_TREE}
        select not exists (
            select from pg_catalog.pg_trigger t
            where t.tgconstraint in (select oid from copy)
              and t.tgenabled <> all (array['O', 'A']::pg_catalog."char"[])
        )
        and not exists (
            select from leaf
            where not case
                when leaf.child then {_fires("4")} and {_fires("16")}
                else {_fires("8")} and {_fires("16")}
            end
        )
        and not exists (
            select from copy join pg_catalog.pg_constraint k on k.oid = copy.oid
            where not {ENFORCED}
        )
    )
"""  # noqa: S608 - no value

# Rows may be written that the key's triggers are not asked about.
_SKIPPED: LiteralString = """
    pg_catalog.current_setting('session_replication_role'::pg_catalog.text)
        = 'replica'::pg_catalog.text
    or exists (
        select from pg_catalog.pg_db_role_setting s
        cross join pg_catalog.unnest(s.setconfig) as c (line)
        where s.setdatabase in (0::pg_catalog.oid, (
                  select d.oid from pg_catalog.pg_database d
                  where d.datname = pg_catalog.current_database()
              ))
          and pg_catalog.lower(c.line)
              = 'session_replication_role=replica'::pg_catalog.text
    )
    or exists (
        select from pg_catalog.pg_proc p
        cross join pg_catalog.unnest(p.proconfig) as c (line)
        where p.proconfig is not null
          and pg_catalog.lower(c.line)
              = 'session_replication_role=replica'::pg_catalog.text
    )
    or exists (
        select from member m
        join pg_catalog.pg_subscription_rel r on r.srrelid = m.oid
    )
"""

# CASCADE and SET NULL are statements of the server's on the child, whose triggers and rules
# apply; what becomes of the rows is not checked. (It is after SET DEFAULT.)
_SWALLOWED: LiteralString = """
    exists (
        select from member m
        cross join lateral (
            select
                k.confdeltype = 'c'::pg_catalog."char" as deletes,
                k.confdeltype = 'n'::pg_catalog."char"
                or k.confupdtype = any (array['c', 'n']::pg_catalog."char"[]) as updates
        ) as action
        where m.child and (
            exists (
                select from pg_catalog.pg_trigger t
                where t.tgrelid = m.oid
                  and t.tgtype & 3::pg_catalog.int2 = 3::pg_catalog.int2  -- BEFORE, ROW
                  and t.tgenabled <> 'D'::pg_catalog."char"
                  and (
                      action.deletes
                      and t.tgtype & 8::pg_catalog.int2 <> 0::pg_catalog.int2
                      or action.updates
                      and t.tgtype & 16::pg_catalog.int2 <> 0::pg_catalog.int2
                  )
            )
            or exists (
                select from pg_catalog.pg_rewrite r
                where r.ev_class = m.oid
                  and r.ev_enabled <> 'D'::pg_catalog."char"
                  and (
                      action.deletes and r.ev_type = '4'::pg_catalog."char"
                      or action.updates and r.ev_type = '2'::pg_catalog."char"
                  )
            )
        )
    )
"""

# The proof: whatever is written, by whomever, the key `k` holds for every row.
ENFORCES: LiteralString = f"""
    {WHOLE}
    and (
        with recursive {_TREE}
        select not exists (
            select from copy join pg_catalog.pg_constraint c on c.oid = copy.oid
            where not c.convalidated
        )
        and not ({_SWALLOWED})
        and (
            not ({_SKIPPED})
            or not exists (
                select from pg_catalog.pg_trigger t
                where t.tgconstraint in (select oid from copy)
                  and t.tgenabled <> 'A'::pg_catalog."char"
            )
        )
    )
"""  # noqa: S608 - no value
