"""Conditions: SQL of whoever declares a reference, kept inside its own expression.

A condition is one expression over the bare columns of its table. It may use PostgreSQL's
own functions and operators, those of extensions, and enumerated types; it may ask no other
table, and call nothing volatile and nothing that a user of the database made. What goes
beyond is refused before the server is given it.
"""

import re

from sexton.database import Connection, rows
from sexton.text.printable import printable

LONGEST, DEEPEST = 10_000, 100  # what goes beyond is nobody's, and the server's stack ends
HINT = (
    "a condition is an expression over the table's own columns; functions and operators "
    "are PostgreSQL's own or an extension's, and not volatile"
)

# What stands in quotes, dollar quotes and comments says nothing. A comment ends at either
# end of a line, and in a name that has begun a dollar quotes nothing.
_QUIET = re.compile(
    r"'(?:[^']|'')*'|(\"(?:[^\"]|\"\")*\")|(?<![\w$])(\$\w*\$).*?\2|--[^\r\n]*|/\*.*?\*/",
    re.DOTALL,
)
_CODED = re.compile(r"(?<![\w$])u&\"", re.IGNORECASE)
_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_CALL = re.compile(rf"((?:{_NAME}\s*\.\s*)*{_NAME})\s*\(")
_DOTTED = re.compile(rf"({_NAME})\s*\.\s*({_NAME})(?!\s*[(.])")
_OPERATOR = re.compile(rf"\boperator\s*\(\s*({_NAME})\s*\.\s*([^\s)]+)\s*\)", re.IGNORECASE)
_QUERY = re.compile(r"\b(select|table)\b|\bvalues\s*\(", re.IGNORECASE)


def closed(text: str) -> None:
    """Insist on one SQL condition, closed in itself; raises ValueError."""
    bare = _QUIET.sub(lambda found: " x " if found[1] else " ", text)
    depth = deepest = 0
    for sign in re.findall(r"[()]", bare):
        depth += 1 if sign == "(" else -1
        deepest = max(deepest, depth)
        if depth < 0:
            break
    if len(text) > LONGEST or deepest > DEEPEST:
        raise ValueError(
            f"`{printable(text[:40])}…` is no SQL condition: it has {len(text):,} "
            f"characters, {deepest} brackets deep"
        )
    odd = re.search(r"[;'\"]|/\*|\$\w*\$|\x00", bare)
    # A string may end elsewhere than it seems to, where a backslash stands before a quote;
    # a name of code points is not the one that it seems to be.
    other = "\\'" in text or _CODED.search(text)
    if depth or odd or other or not bare.strip():
        raise ValueError(f"`{printable(text)}` is no SQL condition, closed in itself")


def beyond(connection: Connection, text: str) -> str | None:
    """Where a condition goes beyond its row, in words; None where it does not.

    Asks the catalogs what the functions, operators and types are that it names. Reads
    only, with pg_catalog alone in sight or not.
    """
    bare = _QUIET.sub(lambda found: found[1] or "''", text)
    unquoted = re.sub(r'"(?:[^"]|"")*"', '""', bare)
    if _QUERY.search(unquoted):
        return "asks more than its own row: a sub-select"
    calls = [_parts(found) for found in _CALL.findall(bare)]
    named = [("f", parts[-2] if parts[1:] else "pg_catalog", parts[-1]) for parts in calls]
    named += [("t", _bare(schema), _bare(name)) for schema, name in _DOTTED.findall(bare)]
    named += [("o", _bare(schema), name) for schema, name in _OPERATOR.findall(bare)]
    if not named:
        return None
    kinds, schemas, names = (list(part) for part in zip(*named, strict=True))
    for row in rows(connection, FOREIGN, kinds, schemas, names):
        return f"uses {printable(row['what'])}, {row['why']}"
    return None


def _parts(chain: str) -> list[str]:
    return [_bare(name) for name in re.findall(_NAME, chain)]


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


FOREIGN = """
    with named as (
        select distinct w.kind, w.schema, w.name
        from rows from (
            pg_catalog.unnest(%s::pg_catalog.text[]),
            pg_catalog.unnest(%s::pg_catalog.text[]),
            pg_catalog.unnest(%s::pg_catalog.text[])
        ) as w (kind, schema, name)
    ), used as (
        select w.kind, w.schema, w.name, p.oid as function, null::pg_catalog.oid as type
        from named w
        join pg_catalog.pg_namespace n on n.nspname::pg_catalog.text = w.schema
        join pg_catalog.pg_proc p
          on p.pronamespace = n.oid and p.proname::pg_catalog.text = w.name
        where w.kind = 'f'::pg_catalog.text
        union all
        select w.kind, w.schema, w.name, o.oprcode::pg_catalog.oid, null::pg_catalog.oid
        from named w
        join pg_catalog.pg_namespace n on n.nspname::pg_catalog.text = w.schema
        join pg_catalog.pg_operator o
          on o.oprnamespace = n.oid and o.oprname::pg_catalog.text = w.name
        where w.kind = 'o'::pg_catalog.text
        union all
        select w.kind, w.schema, w.name, null::pg_catalog.oid, t.oid
        from named w
        join pg_catalog.pg_namespace n on n.nspname::pg_catalog.text = w.schema
        join pg_catalog.pg_type t
          on t.typnamespace = n.oid and t.typname::pg_catalog.text = w.name
         and t.typtype <> 'e'::pg_catalog."char"
        where w.kind = any (array['t', 'f']::pg_catalog.text[])
    ), judged as (
        select u.*,
               p.provolatile = 'v'::pg_catalog."char" as volatile,
               u.schema <> 'pg_catalog'::pg_catalog.text and not exists (
                   select from pg_catalog.pg_depend d
                   where d.deptype = 'e'::pg_catalog."char"
                     and d.classid = case
                             when u.type is null
                                 then 'pg_catalog.pg_proc'::pg_catalog.regclass
                             else 'pg_catalog.pg_type'::pg_catalog.regclass
                         end::pg_catalog.oid
                     and d.objid = coalesce(u.type, u.function)
               ) as made
        from used u
        left join pg_catalog.pg_proc p on p.oid = u.function
    )
    select pg_catalog.concat(
               j.schema, '.'::pg_catalog.text, j.name,
               case when j.kind = 'f'::pg_catalog.text then '()'::pg_catalog.text end
           ) as what,
           case when j.made then 'which a user of the database made'::pg_catalog.text
                else 'which is volatile'::pg_catalog.text end as why
    from judged j
    where j.made or j.volatile
    order by j.made desc, j.schema, j.name
"""
