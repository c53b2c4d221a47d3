"""A column changes without a rewrite, wherever it was left."""

import io

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from sexton.errors import Refused, UsageError, WrongSchema
from tests.support.online import KEY, operations, state


def test_nulls_and_rewrites_are_refused(shop):
    url, connection = shop
    before = state(connection)
    with pytest.raises(Refused, match="have no customer"), operations(url) as op:
        op.set_not_null_online("order lines", "customer", schema="shop")
    for default in ("gen_random_uuid()", "pg_catalog.clock_timestamp ( )::text"):
        column = sa.Column("token", sa.Text, server_default=sa.text(default))
        with pytest.raises(Refused, match="would rewrite the table"), operations(url) as op:
            op.add_column_online("Customers", column, schema="shop")
    with pytest.raises(Refused, match="another column name"), operations(url) as op:
        op.add_column_online("Customers", sa.Column("name", sa.Integer), schema="shop")
    with pytest.raises(WrongSchema, match="no table nowhere"), operations(url) as op:
        op.add_soft_delete("nowhere")
    with pytest.raises(UsageError, match="cannot be 'keep'"), operations(url) as op:
        op.create_foreign_key_online(*KEY, orphans="keep")
    with pytest.raises(UsageError, match="is no name"), operations(url) as op:
        op.add_soft_delete("shop.customers")
    assert state(connection) == before


def test_not_null_resumes_wherever_it_was_left(shop):
    url, connection = shop
    with operations(url) as op:
        op.set_not_null_online("Customers", "name", schema="shop")
    done = state(connection)
    connection.execute('alter table shop."Customers" alter column name drop not null')
    said = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": said}
    )
    with context.begin_transaction(), Operations.context(context) as op:
        op.set_not_null_online("Customers", "name", schema="shop")
    alter = [line.rstrip(";") for line in said.getvalue().splitlines() if "alter" in line]
    assert len(alter) == 4
    for statement in alter[:3]:
        connection.execute(statement)
        with operations(url) as op:
            op.set_not_null_online("Customers", "name", schema="shop")
        assert state(connection) == done
        if statement is not alter[2]:
            connection.execute(
                'alter table shop."Customers" alter column name drop not null'
            )
            connection.execute(alter[0])
