"""Half an index is dropped, and another is not."""

import contextlib

import pytest

from sexton.errors import Refused
from tests.support.online import operations, state


def test_half_an_index_is_dropped_and_another_is_not(shop):
    url, connection = shop
    connection.execute("""insert into shop."order lines" values (5, 1, 'x')""")
    with contextlib.suppress(Exception):
        connection.execute(
            'create unique index concurrently "by {c}" on shop."order lines" (customer)'
        )
    assert any("by {c}" in part and part.endswith("false") for part in state(connection))
    with pytest.raises(Refused, match=r"another index by \{c\}"), operations(url) as op:
        op.create_index_online("by {c}", "order lines", ["note"], schema="shop")
    connection.execute("""delete from shop."order lines" where id = 5""")
    for _ in range(2):
        with operations(url) as op:
            op.create_index_online(
                "by {c}", "order lines", ["customer"], unique=True, schema="shop"
            )
    assert any("by {c}" in part and part.endswith("true") for part in state(connection))
    with pytest.raises(Refused, match="belongs to a constraint"), operations(url) as op:
        op.drop_index_online("Customers_pkey", "Customers", schema="shop")
