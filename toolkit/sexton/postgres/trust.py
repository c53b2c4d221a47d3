"""Trust: whose code a statement on a relation would run.

Reading a view runs its functions with the rights of the reader. So do, on an ordinary
table: casts, domain constraints and input functions of its columns' types, and the
functions in its CHECK constraints, indexes, extended statistics and partition keys, which
the planner evaluates. Writing adds triggers, rules, defaults and generated columns, also
those of tables that foreign keys with an action lead to. None of it may belong to a role
that is not a *trusted owner*: superusers, the role that is connected, the owner of the
database, and the roles that `--trust-owner` or `trust_owner` in the project file name.

The question is asked by the query that looks relations up (`sexton.catalog.relations`). It
follows pg_depend from what strangers own to the relations that depend on it. PostgreSQL
records no dependency on its own functions, and some of those run any statement that they
are given (`query_to_xml`, `ts_rewrite`): of what strangers wrote, expressions that call
functions that are not immutable count as their code, too.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import LiteralString

from sexton.errors import Refused
from sexton.text.printable import printable

# The roles that are trusted besides: those that the project in use names.
named: frozenset[str] = frozenset()

KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}
# Whether an expression of a stranger's calls what does not depend on its arguments alone.
CALLS: LiteralString = """exists (
            select from pg_catalog.regexp_matches(
                {}::pg_catalog.text, ':(?:op)?funcid ([0-9]+)'::pg_catalog.text,
                'g'::pg_catalog.text
            ) as m (found)
            join pg_catalog.pg_proc f
              on f.oid = (m.found[1])::pg_catalog.oid
            where f.provolatile <> 'i'::pg_catalog."char"
              and not (
                  f.pronamespace = 'pg_catalog'::pg_catalog.regnamespace::pg_catalog.oid
                  and (
                      f.proname = any (array[
                          'now', 'clock_timestamp', 'gen_random_uuid', 'nextval', 'random',
                          'timeofday', 'to_char', 'uuidv4', 'uuidv7'
                      ]::pg_catalog.name[])
                      -- Dates and times depend on the time zone.
                      or f.provolatile = 's'::pg_catalog."char"
                      and not exists (
                          select from pg_catalog.unnest(
                              f.proargtypes::pg_catalog.oid[]
                          ) as a (type)
                          where a.type <> all (array[
                              'date', 'timestamp', 'timestamptz', 'time', 'timetz',
                              'interval', 'bool', 'int4', 'int8', 'numeric', 'float8'
                          ]::pg_catalog.regtype[]::pg_catalog.oid[])
                      )
                  )
              )
        )"""
PROC, CLASS, TYPE, CHECK, DEFAULT, TRIGGER, RULE, OPCLASS = (
    f"'pg_catalog.{name}'::pg_catalog.regclass::pg_catalog.oid"
    for name in (
        *("pg_proc", "pg_class", "pg_type", "pg_constraint", "pg_attrdef"),
        *("pg_trigger", "pg_rewrite", "pg_opclass"),
    )
)

# Common table expressions for a `with recursive`. Their one parameter names further roles
# that are trusted. `trusted` are roles, `tainted` the objects (a class of the catalogs and
# an oid) through which the code `root` of an untrusted `owner` may run, if `writes` only
# when rows are written.
TRUST = f"""
    trusted as materialized (
        select r.oid
        from pg_catalog.pg_roles r
        where r.rolsuper
           or r.rolname = any (array[session_user, current_user])
           or r.rolname::pg_catalog.text = any (%s::pg_catalog.text[])
           or r.oid = (
               select d.datdba from pg_catalog.pg_database d
               where d.datname = pg_catalog.current_database()
           )
    ),
    -- Relations and domains of strangers: what is written into their definitions counts.
    strange as materialized (
        select {CLASS} as class, c.oid, c.relkind as kind, c.relowner as owner
        from pg_catalog.pg_class c
        where c.oid >= 16384::pg_catalog.oid  -- what users made
          and c.relkind = any (array['r', 'p', 'v', 'm', 'f']::pg_catalog."char"[])
          and not exists (select from trusted t where t.oid = c.relowner)
        union all
        select {TYPE}, y.oid, y.typtype, y.typowner
        from pg_catalog.pg_type y
        where y.oid >= 16384::pg_catalog.oid
          and y.typtype = 'd'::pg_catalog."char"
          and not exists (select from trusted t where t.oid = y.typowner)
    ),
    culprit as materialized (
        select {PROC} as class, p.oid, false as writes, p.proowner as owner
        from pg_catalog.pg_proc p
        where p.oid >= 16384::pg_catalog.oid
          and not exists (select from trusted t where t.oid = p.proowner)
        union all
        select s.class, s.oid, false, s.owner
        from strange s
        where s.class = {CLASS}
          and s.kind = any (array['v', 'm', 'f']::pg_catalog."char"[])
        union all
        select {CHECK}, k.oid, s.class = {CLASS}, s.owner
        from strange s
        join pg_catalog.pg_constraint k
          on k.conrelid = case when s.class = {CLASS} then s.oid else 0::pg_catalog.oid end
         and k.contypid = case when s.class = {TYPE} then s.oid else 0::pg_catalog.oid end
        where {CALLS.format("k.conbin")}
        union all
        select {TYPE}, y.oid, true, s.owner
        from strange s
        join pg_catalog.pg_type y on s.class = {TYPE} and y.oid = s.oid
        where {CALLS.format("y.typdefaultbin")}
        union all
        select {DEFAULT}, a.oid, true, s.owner
        from strange s
        join pg_catalog.pg_attrdef a on s.class = {CLASS} and a.adrelid = s.oid
        where {CALLS.format("a.adbin")}
        union all
        select {TRIGGER}, g.oid, true, s.owner
        from strange s
        join pg_catalog.pg_trigger g on s.class = {CLASS} and g.tgrelid = s.oid
        where {CALLS.format("g.tgqual")}
        union all
        select {RULE}, r.oid, true, s.owner
        from strange s
        join pg_catalog.pg_rewrite r on s.class = {CLASS} and r.ev_class = s.oid
        where s.kind = any (array['r', 'p']::pg_catalog."char"[])
    ),
    tainted (class, oid, writes, owner, root_class, root) as (
        select u.class, u.oid, u.writes, u.owner, u.class, u.oid from culprit u
        union
        select f.class, f.oid, f.writes, t.owner, t.root_class, t.root
        from tainted t
        cross join lateral (
            -- What uses it. Of a table only views, its parts, and its type for rows.
            select
                d.classid as class, d.objid as oid,
                t.writes or a.attnum is not null as writes
            from pg_catalog.pg_depend d
            left join pg_catalog.pg_constraint k
              on d.classid = {CHECK} and k.oid = d.objid
            left join pg_catalog.pg_attribute a  -- a generated column
              on d.classid = {CLASS} and a.attrelid = d.objid
             and a.attnum::pg_catalog.int4 = d.objsubid
             and a.attgenerated <> ''::pg_catalog."char"
             and d.deptype = 'a'::pg_catalog."char"
            where d.refclassid = t.class and d.refobjid = t.oid
              and d.deptype <> 'e'::pg_catalog."char"
              and d.classid <> 'pg_catalog.pg_policy'::pg_catalog.regclass::pg_catalog.oid
              -- The server checks foreign keys as the tables' owners.
              and k.contype is distinct from 'f'::pg_catalog."char"
              and (
                  t.class <> {CLASS}
                  or d.classid = {CLASS}
                  or not t.writes
                  and (
                      d.classid = {TYPE}
                      or d.classid = {RULE} and d.deptype = 'n'::pg_catalog."char"
                  )
              )
            union all
            -- What it is a part of.
            select
                d.refclassid, d.refobjid,
                t.writes or t.class = any (array[{DEFAULT}, {TRIGGER}])
                or t.class = {RULE} and c.relkind <> 'v'::pg_catalog."char"
            from pg_catalog.pg_depend d
            left join pg_catalog.pg_class c on d.refclassid = {CLASS} and c.oid = d.refobjid
            where d.classid = t.class and d.objid = t.oid
              and t.class = any (array[
                  {CLASS}, {CHECK}, {DEFAULT}, {TRIGGER}, {RULE},
                  'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::pg_catalog.oid,
                  {OPCLASS},
                  'pg_catalog.pg_amop'::pg_catalog.regclass::pg_catalog.oid,
                  'pg_catalog.pg_amproc'::pg_catalog.regclass::pg_catalog.oid
              ])
              and (
                  d.deptype = any (array['a', 'i']::pg_catalog."char"[])
                  or d.refclassid = t.class
                  or d.refclassid = {TYPE} and t.class = {OPCLASS}
              )
            union all
            -- Casts count for the type of the user's, not for both of two.
            select {TYPE}, y.oid, t.writes
            from pg_catalog.pg_cast s
            join pg_catalog.pg_type y
              on y.oid = any (array[s.castsource, s.casttarget])
             and y.oid >= 16384::pg_catalog.oid
            where t.class = 'pg_catalog.pg_cast'::pg_catalog.regclass::pg_catalog.oid
              and s.oid = t.oid
              and (
                  s.castsource < 16384::pg_catalog.oid
                  or s.casttarget < 16384::pg_catalog.oid
                  or s.castsource = s.casttarget
              )
            union all
            -- A change there goes on here.
            select {CLASS}, k.confrelid, true
            from pg_catalog.pg_constraint k
            where t.class = {CLASS} and t.writes
              and k.conrelid = t.oid and k.contype = 'f'::pg_catalog."char"
              and (
                  k.confdeltype = any (array['c', 'n', 'd']::pg_catalog."char"[])
                  or k.confupdtype = any (array['c', 'n', 'd']::pg_catalog."char"[])
              )
        ) f
    )
"""  # noqa: S608 - names of the catalogs


# Of a relation `c`, beside TRUST.
JUDGEMENT = f"""
    exists (select from trusted t where t.oid = c.relowner) as trusted,
    c.relkind = 'f'::pg_catalog."char" or c.relhassubclass and exists (
        select from pg_catalog.pg_inherits i
        join pg_catalog.pg_class p on p.oid = i.inhrelid
        where p.relkind = 'f'::pg_catalog."char"
    ) as "foreign",
    (
        select pg_catalog.json_agg(pg_catalog.json_build_object(
            'writes'::pg_catalog.text, s.writes,
            'owner'::pg_catalog.text, pg_catalog.pg_get_userbyid(s.owner),
            'what'::pg_catalog.text,
            case when s.root_class <> {CLASS} or s.root <> c.oid then
                pg_catalog.pg_describe_object(s.root_class, s.root, 0)
            end
        ))
        from (
            select distinct t.writes, t.owner, t.root_class, t.root
            from tainted t
            where t.class = {CLASS} and t.oid = c.oid
            order by 1, 3, 4
            limit 10
        ) s
    ) as code
"""  # noqa: S608 - names of the catalogs


@dataclass(frozen=True, slots=True)
class Code:
    """Code of an untrusted owner that reading a relation may run, or only writing it.

    `what` is how the server describes it; None if it is the relation itself.
    """

    writes: bool
    owner: str
    what: str | None


def refusal(
    name: str, kind: str, owner: str, code: Iterable[Code], *, writes: bool
) -> Refused | None:
    """Why a relation is not read, or with `writes` not written; None if nothing is wrong.

    `name` is its whole name, `kind` its pg_class.relkind.
    """
    met = [one for one in code if writes or not one.writes]
    if not met:
        return None
    whole = [one for one in met if one.what is None] or met
    [first, *more] = sorted(whole, key=lambda one: (one.owner, one.what or ""))
    verb = "writing" if all(one.writes for one in met) else "reading"
    said = f"the {KINDS[kind]} {name} belongs to the role {owner}"
    if first.what is None:
        said += f", and {verb} it may run code of that role with your rights"
    else:
        others = f" and {len(more)} more" if more else ""
        said += (
            f", and {verb} it may run code of the role {first.owner} with your rights: "
            f"{first.what}{others}"
        )
    return Refused(printable(said), hint=trust_hint(one.owner for one in met))


def stranger(name: str, kind: str, owner: str) -> Refused:
    """The refusal of a table that only a trusted owner may have made."""
    return Refused(
        printable(
            f"the {KINDS[kind]} {name} belongs to the role {owner}, who is neither a "
            "superuser nor the role that is connected nor the owner of the database"
        ),
        hint=trust_hint([owner]),
    )


def trust_hint(owners: Iterable[str]) -> str:
    """What to type where objects of these roles are met."""
    found = sorted(set(owners))
    options = " ".join(f"--trust-owner {shlex.quote(owner)}" for owner in found)
    return printable(
        f"find out who made it, and drop it or change its owner; or, if you trust "
        f"{' and '.join(found)} with your rights: {options}"
    )
