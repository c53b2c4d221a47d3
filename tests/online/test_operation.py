"""What all online operations have in common."""

import io

from alembic.migration import MigrationContext
from alembic.operations import Operations

from sexton.database import rows
from sexton.online.column_operations import AddSoftDelete
from sexton.online.python import statements
from tests.support.online import operations, state

SOFT = AddSoftDelete("Customers", schema="shop")


def test_it_is_called_as_it_is_written():
    assert statements([SOFT]) == ['op.add_soft_delete("Customers", schema="shop")']
    assert SOFT.to_diff_tuple() == ("add_soft_delete", "Customers")


def test_it_runs_on_a_session_of_its_own_or_prints_its_sql(shop):
    url, connection = shop
    before = state(connection)
    said = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": said}
    )
    with context.begin_transaction(), Operations.context(context) as op:
        op.invoke(SOFT)
    assert 'alter table "shop"."Customers" add column' in said.getvalue()
    assert state(connection) == before
    with operations(url) as op:
        op.execute("set search_path = shop")
        op.invoke(SOFT)
        [path] = rows(op.get_bind().connection.driver_connection, "show search_path")
        assert path == {"search_path": "shop"}, "the caller's path comes back"
        op.invoke(SOFT.reverse())
    assert state(connection) == before
