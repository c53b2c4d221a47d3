"""A key is made beside the writers, and its orphans are seen to."""

import pytest

from sexton.database import rows, scalar
from sexton.errors import Refused
from tests.support.online import KEY, ORPHAN, SCHEMAS, operations, state


@pytest.mark.parametrize(("orphans", "left"), [("null", 4), ("delete", 3)])
def test_orphans_are_seen_to(shop, orphans, left):
    url, connection = shop
    connection.execute(ORPHAN)
    with (
        pytest.raises(Refused, match="refer to no row"),
        operations(url) as op,
    ):
        op.create_foreign_key_online(*KEY, **SCHEMAS)
    assert not any("FOREIGN KEY" in part for part in state(connection))
    for _ in range(2):
        with operations(url) as op:
            op.create_foreign_key_online(*KEY, **SCHEMAS, orphans=orphans)
    assert any("FOREIGN KEY" in p and p.endswith("true") for p in state(connection))
    count = """select count(*) from shop."order lines" """
    assert scalar(connection, count) == left
    [change] = rows(connection, "select key, before, after from sexton.changes")
    assert change["key"] == {"id": 4}
    assert change["before"]["customer"] == 9
    assert (change["after"] is None) == (orphans == "delete")
    assert scalar(connection, count + "where customer is not null") == 2


def test_a_key_that_was_left_not_valid_is_validated(shop):
    url, connection = shop
    connection.execute("""
        alter table shop."order lines" add constraint "fk: lines"
        foreign key (customer) references shop."Customers" not valid
    """)
    with pytest.raises(Refused, match="another constraint"), operations(url) as op:
        op.create_foreign_key_online(*KEY, **SCHEMAS, ondelete="cascade")
    with operations(url) as op:
        op.create_foreign_key_online(*KEY, **SCHEMAS)
    assert any("FOREIGN KEY" in p and p.endswith("true") for p in state(connection))


def test_orphans_of_types_that_compare_differently_are_left_alone(shop):
    url, connection = shop
    connection.execute("""
        create table shop.codes (code char(3) primary key);
        create table shop.uses (code text);
        insert into shop.codes values ('a');
        insert into shop.uses values ('a  ')
    """)
    with pytest.raises(Refused, match="differ in type"), operations(url) as op:
        op.create_foreign_key_online(
            "fk", "uses", "codes", ["code"], ["code"], orphans="delete", **SCHEMAS
        )
    assert scalar(connection, "select count(*) from shop.uses") == 1
