"""Operations on columns: what each is, and its reverse."""

import pytest
import sqlalchemy as sa

from sexton.online.column_operations import (
    AddColumnOnline,
    DropColumnOnline,
    NotNullOnline,
    SoftDelete,
)
from sexton.online.python import statements
from sexton.online.tables import Table
from tests.support.online import operations, state

PLACE = Table("Customers", "shop")
ALL = [
    AddColumnOnline(PLACE, sa.Column("Paid", sa.Boolean(), nullable=True)),
    NotNullOnline("set_not_null_online", PLACE, "name"),
    SoftDelete("add_soft_delete", PLACE, "Gone", "Gone At"),
]


@pytest.mark.parametrize("operation", ALL, ids=lambda one: one.name)
def test_its_reverse_takes_it_back_and_has_it_as_reverse(shop, operation):
    url, connection = shop
    before = state(connection)
    back = operation.reverse()
    assert statements([back.reverse()]) == statements([operation])
    with operations(url) as op:
        op.invoke(operation)
    assert state(connection) != before
    with operations(url) as op:
        op.invoke(back)
    assert state(connection) == before


def test_columns_are_said_where_they_are_not_the_usual_ones():
    usual = SoftDelete("drop_soft_delete", Table("t"), "deleted", "deleted_at")
    assert usual.arguments == ("t",)
    other = SoftDelete("drop_soft_delete", Table("t"), "deleted", "gone_at")
    assert other.arguments == ("t", "deleted", "gone_at")


def test_a_column_that_nobody_described_does_not_come_back():
    with pytest.raises(ValueError, match=r"what the column x was is not known: .*column="):
        DropColumnOnline(Table("t"), "x").reverse()
