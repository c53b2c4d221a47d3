"""What a revision would change, made and taken back on a database itself."""

from pathlib import Path

import alembic

from sexton.catalog.relations import resolve
from sexton.database import rows
from sexton.reference import Declarations
from sexton.revision.catalog import Names
from sexton.revision.references import References
from tests.support.online import operations

# What `alembic init` gives a team.
TEMPLATE = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
STATE = """
    select c.oid::regclass || '.' || a.attname || ' '
           || format_type(a.atttypid, a.atttypmod) || a.attnotnull
           || coalesce(pg_get_expr(d.adbin, d.adrelid), '') as part
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where c.relnamespace::regnamespace::text in ('public', 'billing')
      and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'i')
      and c.relname <> all (array['alembic_version', 'alembic_version_pkc'])
    union all
    select conrelid::regclass || conname || pg_get_constraintdef(oid) || convalidated
    from pg_constraint where conrelid <> 0 and conrelid::regclass::text !~ 'alembic'
      and connamespace::regnamespace::text in ('public', 'billing')
    union all
    select pg_get_indexdef(indexrelid) || indisvalid
    from pg_index join pg_class on oid = indexrelid
    where relnamespace::regnamespace::text in ('public', 'billing')
      and relname <> 'alembic_version_pkc'
    union all
    select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
    order by 1
"""


def state(connection):
    """The columns, constraints, indexes and triggers of a team's schemas."""
    return [row["part"] for row in rows(connection, STATE)]


def references(connection, *refs, **more):
    """The changes of references, and what is found besides."""
    declared = Declarations(reference=refs, **more)
    relations = resolve(connection, declared.tables())
    made = References(connection, declared, relations, Names(connection))
    for ref in refs:
        made.compare(ref)
    return made.found.in_order()


def run(url, *lists):
    """Run operations as a revision's functions do."""
    with operations(url) as op:
        for one in lists:
            for operation in one:
                op.invoke(operation)


def up(url, changes):
    run(url, *(one.up for one in changes))


def down(url, changes):
    run(url, *(one.down for one in reversed(changes)))
