"""The journal's tables: made where they are not there yet, by whom they may be made."""

from collections.abc import Mapping
from typing import Any

from sexton.database import Connection, rows
from sexton.errors import Incomplete, Refused
from sexton.postgres import trust
from sexton.text.printable import printable

UNCHANGED = "; nothing was changed"

TABLES = """
    create table if not exists sexton.runs (
        run bigint generated always as identity primary key,
        at timestamptz not null default pg_catalog.clock_timestamp(),
        kind text not null,
        actor text not null,
        role text not null default session_user,
        os_user text not null,
        plan text,
        options jsonb not null default '{}',
        finished boolean not null default true,
        undone_by bigint references sexton.runs
    );
    create table if not exists sexton.changes (
        run bigint not null,
        step bigint not null,
        check_name text,
        table_name text not null,
        key jsonb not null,
        before jsonb,
        after jsonb,
        why text not null default '',
        primary key (run, step)
    );
    alter table sexton.runs
        add column if not exists txid bigint,
        add column if not exists batched boolean not null default false,
        add column if not exists lost jsonb not null default '[]';
    alter table sexton.changes
        add column if not exists table_schema text,
        add column if not exists relation oid,
        add column if not exists withheld text[],
        add column if not exists role text,
        add column if not exists txid bigint;

    -- Whoever may insert says what, but not who or when.
    create or replace function sexton.stamp_run() returns trigger language plpgsql
        set search_path = pg_catalog, pg_temp as $$
    begin
        new.at := pg_catalog.clock_timestamp();
        new.role := session_user;
        new.txid := pg_catalog.txid_current();
        return new;
    end $$;
    -- It runs for each row, and names nothing that a search path could bend: a path of its
    -- own would take longer than all the rest.
    create or replace function sexton.stamp_change() returns trigger language plpgsql as $$
    begin
        new.role := session_user;
        new.txid := pg_catalog.txid_current();
        return new;
    end $$;
    create or replace function sexton.keep_run() returns trigger language plpgsql
        set search_path = pg_catalog, pg_temp as $$
    begin
        new.run := old.run;
        new.at := old.at;
        new.kind := old.kind;
        new.actor := old.actor;
        new.role := old.role;
        new.os_user := old.os_user;
        new.plan := old.plan;
        new.options := old.options;
        new.txid := old.txid;
        new.batched := old.batched;
        return new;
    end $$;
    drop trigger if exists stamp on sexton.runs;
    create trigger stamp before insert on sexton.runs
        for each row execute function sexton.stamp_run();
    drop trigger if exists keep on sexton.runs;
    create trigger keep before update on sexton.runs
        for each row execute function sexton.keep_run();
    drop trigger if exists stamp on sexton.changes;
    create trigger stamp before insert on sexton.changes
        for each row execute function sexton.stamp_change();
"""

STATE = """
    select
        n.oid is not null as schema,
        pg_catalog.has_database_privilege(d.oid, 'create'::pg_catalog.text)
            as may_make_schema,
        pg_catalog.has_schema_privilege(n.oid, 'usage'::pg_catalog.text) as usage,
        pg_catalog.has_schema_privilege(n.oid, 'create'::pg_catalog.text)
            as may_make_tables,
        pg_catalog.count(distinct c.oid) as tables,
        pg_catalog.bool_and(exists (
            select from pg_catalog.pg_attribute a
            where a.attrelid = c.oid and a.attname = 'txid'::pg_catalog.name
        )) as current,
        pg_catalog.bool_and(
            pg_catalog.has_table_privilege(c.oid, 'select'::pg_catalog.text)
            and pg_catalog.has_table_privilege(c.oid, 'insert'::pg_catalog.text)
        ) as may_write,
        pg_catalog.quote_ident(current_user::pg_catalog.text) as role,
        pg_catalog.min(o.rolname::pg_catalog.text) filter (
            where o.rolname <> current_user
              and o.oid <> d.datdba
              and not o.rolsuper
              and o.rolname::pg_catalog.text <> all (%s::pg_catalog.text[])
        ) as stranger
    from pg_catalog.pg_database d
    left join pg_catalog.pg_namespace n on n.nspname = 'sexton'::pg_catalog.name
    left join pg_catalog.pg_class c
      on c.relnamespace = n.oid
     and c.relname = any (array['runs', 'changes']::pg_catalog.name[])
    left join pg_catalog.pg_roles o
      on o.oid = n.nspowner
      or (c.oid is not null and o.oid = c.relowner)
      -- The triggers' functions: `create or replace` keeps the owner.
      or exists (
          select from pg_catalog.pg_proc f
          where f.pronamespace = n.oid
            and f.proowner = o.oid
            and f.proname
                = any (array['stamp_run', 'stamp_change', 'keep_run']::pg_catalog.name[])
      )
    where d.datname = pg_catalog.current_database()
    group by d.oid, n.oid
"""


def require_journal(connection: Connection) -> None:
    """Make the journal where it is not there yet, and insist that it can be written.

    Raises what `find_objection` returns.
    """
    [state] = rows(connection, STATE, sorted(trust.named))
    if objection := _objection(state):
        raise objection
    if not state["schema"]:
        connection.execute("create schema sexton")
    if state["tables"] < 2 or not state["current"]:
        connection.execute(TABLES)


def find_objection(connection: Connection) -> Incomplete | Refused | None:
    """What speaks against writing the journal. Reads only.

    Incomplete for a missing right, naming the GRANT, and Refused where anybody else made
    it: a stranger's triggers would run with this role's rights.
    """
    [state] = rows(connection, STATE, sorted(trust.named))
    return _objection(state)


def _objection(state: Mapping[str, Any]) -> Incomplete | Refused | None:
    role = printable(state["role"])
    if state["stranger"]:
        return Refused(
            "the schema sexton, or the journal in it, belongs to the role "
            f"{printable(state['stranger'])}, whose triggers would run with your rights",
            hint=trust.trust_hint([state["stranger"]]),
        )
    if not state["schema"] or state["tables"] < 2 or not state["current"]:
        if not state["schema"] and not state["may_make_schema"]:
            return _not_allowed(role, f"create schema sexton authorization {role}")
        if state["schema"] and not (state["usage"] and state["may_make_tables"]):
            return _not_allowed(role, f"grant usage, create on schema sexton to {role}")
    elif not (state["usage"] and state["may_write"]):
        return _not_allowed(
            role,
            f"grant usage on schema sexton to {role}; "
            f"grant select, insert on sexton.runs, sexton.changes to {role}",
        )
    return None


def unwritten(error: Exception) -> str:
    """Why the journal has not got what was done all the same, in one line."""
    said = str(error).splitlines()[0].removesuffix(UNCHANGED)
    hint = getattr(error, "hint", None)
    return printable(f"{said} ({hint})" if hint else said)


def _not_allowed(role: str, grant: str) -> Incomplete:
    return Incomplete(
        f"{role} may not write the journal in the schema sexton{UNCHANGED}",
        hint=f"let its owner, or a superuser, type: {grant}",
    )
