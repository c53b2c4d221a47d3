"""Operations on columns: what each is, and its reverse."""

import pytest
import sqlalchemy as sa

from sexton.online.column_operations import (
    AddColumnOnline,
    AddSoftDelete,
    DropColumnOnline,
    DropSoftDelete,
    SetNotNullOnline,
)
from sexton.online.python import statements
from tests.support.online import operations, state

SHOP = {"schema": "shop"}
ALL = [
    AddColumnOnline("Customers", sa.Column("Paid", sa.Boolean(), nullable=True), **SHOP),
    SetNotNullOnline("Customers", "name", **SHOP),
    AddSoftDelete("Customers", "Gone", "Gone At", **SHOP),
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
    usual, other = DropSoftDelete("t"), DropSoftDelete("t", "deleted", "gone_at")
    assert statements([usual]) == ['op.drop_soft_delete("t")']
    assert statements([other]) == ['op.drop_soft_delete("t", deleted_at="gone_at")']


def test_a_column_that_nobody_described_does_not_come_back():
    with pytest.raises(ValueError, match=r"what the column x was is not known: .*column="):
        DropColumnOnline("t", "x").reverse()
