"""Operations on a shop's tables, and what has become of these."""

import contextlib

from alembic.migration import MigrationContext
from alembic.operations import Operations

from sexton.database import rows
from sexton.ddl.engine import engine

ORPHAN = """insert into shop."order lines" values (4, 9, 'z')"""


KEY = ("fk: lines", "order lines", "Customers", ["customer"], ["id"])


SCHEMAS = {"source_schema": "shop", "referent_schema": "shop"}


STATE = """
    select c.relname || '.' || a.attname || ' ' || a.atttypid::regtype
           || a.attnotnull as part
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'shop'::regnamespace and a.attnum > 0 and not a.attisdropped
      and c.relkind in ('r', 'i')
    union all
    select pg_get_constraintdef(oid) || convalidated from pg_constraint
    where connamespace = 'shop'::regnamespace and contype in ('f', 'c')
    union all
    select pg_get_indexdef(indexrelid) || indisvalid
    from pg_index join pg_class on oid = indexrelid
    where relnamespace = 'shop'::regnamespace
    order by 1
"""


@contextlib.contextmanager
def operations(url):
    with engine(url, "tests").connect() as connection:
        context = MigrationContext.configure(connection)
        with context.begin_transaction(), Operations.context(context) as op:
            yield op


def state(connection):
    return [row["part"] for row in rows(connection, STATE)]
