"""Where a database is, and what contradicts its word or the project file."""

from tests.support.own_environment import SOFTEN
from tests.support.schemas import conforms


def test_status_tells_what_is_declared_and_not_there(shop):
    team, sexton, _ = shop
    team.add("0001", None, SOFTEN)
    team.declare(
        '[[reference]]\nchild = "invoices.customer_id"\nparent = "customers.id"\n'
        'key = "none"\n'
    )
    result = sexton("status", "--format", "json")
    assert result.code == 1
    assert "a foreign key is there" in conforms(result.json, "status")["drift"][0]
    assert sexton("upgrade").code == 0
    assert sexton("status").code == 0
