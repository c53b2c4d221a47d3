"""A database's catalog as values that can be compared, and its planted rows."""

from typing import Any

from psycopg import sql

from sexton.postgres.connect import Connection

OURS = "('pg_catalog', 'information_schema', 'pg_toast', 'sexton')"
CATALOG = f"""
    with space as (select oid, nspname from pg_namespace where nspname not in {OURS}
                   and nspname not like 'pg\\_temp%' and nspname not like 'pg\\_toast%'),
    relation as (select c.*, s.nspname || '.' || c.relname as name
                 from pg_class c join space s on s.oid = c.relnamespace
                 where not exists (select from pg_depend d where d.objid = c.oid
                                   and d.deptype = 'e'))
    select 'schema' as kind, nspname::text as name, '' as definition from space
    union all
    select 'relation', name, concat_ws(' ', relkind, relpersistence, reloptions::text,
        relrowsecurity, relforcerowsecurity, relacl::text,
        case when relkind in ('v', 'm') then pg_get_viewdef(oid) end,
        obj_description(oid, 'pg_class'), pg_get_partkeydef(oid),
        pg_get_expr(relpartbound, oid))
    from relation where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'column', r.name || '.' || a.attname, concat_ws(' ',
        format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end,
        nullif(a.attidentity, ''), nullif(a.attgenerated, ''),
        pg_get_expr(d.adbin, d.adrelid),
        nullif(a.attcollation, t.typcollation)::regcollation,
        col_description(r.oid, a.attnum), a.attacl::text)
    from relation r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0
        and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
    where r.relkind in ('r', 'p', 'f')
    union all
    select 'constraint', coalesce(r.name, c.contypid::regtype::text) || '.' || c.conname,
        pg_get_constraintdef(c.oid)
        || case when c.convalidated then '' else ' NOT VALID' end
    from pg_constraint c left join relation r on r.oid = c.conrelid
    where c.connamespace in (select oid from space) and c.contype not in ('n', 't')
    union all
    select 'index', r.name, pg_get_indexdef(r.oid)
        || case when i.indisvalid then '' else ' INVALID' end
    from relation r join pg_index i on i.indexrelid = r.oid
    union all
    select 'trigger', r.name || '.' || t.tgname, pg_get_triggerdef(t.oid)
        || t.tgenabled::text
    from relation r join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
    union all
    select 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid)
    from pg_proc p join space s on s.oid = p.pronamespace
    where p.prokind in ('f', 'p') and not exists (select from pg_depend d
        where d.objid = p.oid and d.deptype = 'e')
    union all
    select 'type', s.nspname || '.' || t.typname, concat_ws(' ', t.typtype,
        format_type(nullif(t.typbasetype, 0), t.typtypmod),
        (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e
         where e.enumtypid = t.oid))
    from pg_type t join space s on s.oid = t.typnamespace where t.typtype in ('e', 'd', 'r')
    union all
    select 'policy', r.name || '.' || p.polname, concat_ws(' ', p.polcmd, p.polpermissive,
        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    from relation r join pg_policy p on p.polrelid = r.oid
    union all
    select 'extension', extname, '' from pg_extension where extname <> 'plpgsql'
"""  # noqa: S608
TABLES = f"""
    select s.nspname, c.relname, (select array_agg(a.attname::text order by a.attnum)
        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
        and not a.attisdropped) as columns
    from pg_class c join pg_namespace s on s.oid = c.relnamespace
    where c.relkind = 'r' and s.nspname not in {OURS}
"""  # noqa: S608

Catalog = dict[tuple[str, str], str]
Rows = dict[tuple[str, str], list[Any]]


def catalog_of(connection: Connection, version_table: str) -> Catalog:
    """Every object of the database and its definition, without Alembic's own table."""
    found = connection.execute(CATALOG).fetchall()
    own = f".{version_table}"
    return {
        (row["kind"], row["name"]): row["definition"]
        for row in found
        if own not in f".{row['name']}." and not row["name"].endswith(f"{own}_pkc")
    }


def differences(before: Catalog, after: Catalog) -> list[str]:
    """How one catalog differs from another, in words."""
    said = []
    for key in sorted(before.keys() | after.keys()):
        kind, name = key
        name = name.removeprefix("public.")
        if key not in after:
            said.append(f"the {kind} {name} is missing")
        elif key not in before:
            said.append(f"the {kind} {name} is left over")
        elif before[key] != after[key]:
            said.append(f"the {kind} {name} is {after[key]!r}, and was {before[key]!r}")
    return said


def columns_of(connection: Connection) -> dict[tuple[str, str], list[str]]:
    """The columns of every ordinary table, by schema and name."""
    found = connection.execute(TABLES).fetchall()
    return {(row["nspname"], row["relname"]): row["columns"] for row in found}


def rows_of(
    connection: Connection, columns: dict[tuple[str, str], list[str]]
) -> dict[tuple[str, str, str], list[Any]]:
    """The values of these columns, each column's in order; absent ones are left out."""
    there = columns_of(connection)
    found = {}
    for table, names in columns.items():
        for name in names:
            if name in there.get(table, []):
                query = sql.SQL("select {}::text as v from {} order by 1").format(
                    sql.Identifier(name), sql.Identifier(*table)
                )
                values = [row["v"] for row in connection.execute(query).fetchall()]
                found[(*table, name)] = values
    return found
