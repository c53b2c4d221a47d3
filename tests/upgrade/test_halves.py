"""A walk that was interrupted, and turned round by the other command."""

import pytest

from tests.support.own_environment import SOFTEN

HARDEN = """
    op.drop_soft_delete("customers")
    op.create_foreign_key_online("invoices_customer", "invoices", "customers",
    ["customer_id"], ["id"])
    op.drop_index_online("by_customer", "invoices")
"""


@pytest.fixture
def team(shop):
    shop[0].add("0001", None, SOFTEN, HARDEN)
    return shop


def test_nothing_is_said_where_all_is_there_or_nothing(team):
    _, sexton, _ = team
    for command in (("downgrade", "base"), ("upgrade",), ("upgrade",)):
        result = sexton(*command)
        assert (result.code, "warning" in result.stderr) == (0, False), result.stderr
    assert sexton("upgrade", "--plan").code == 0


def test_an_upgrade_says_what_an_interrupted_downgrade_took(team):
    _, sexton, connection = team
    assert sexton("upgrade").code == 0
    connection.execute("alter table customers drop deleted, drop deleted_at")
    planned = sexton("upgrade", "--plan")
    assert planned.code == 1
    assert "drift: revision 0001 is not all there" in planned.stdout
    result = sexton("upgrade")
    assert result.stdout == "at 0001 already: nothing to do\n"
    assert "if its downgrade was interrupted, finish that first" in result.stderr
    assert sexton("downgrade", "base").code == 0
    assert sexton("upgrade").code == 0
    assert "warning" not in sexton("upgrade").stderr


def test_a_downgrade_says_what_an_interrupted_upgrade_left(team):
    _, sexton, connection = team
    connection.execute("alter table customers add deleted boolean default false not null")
    assert sexton("downgrade", "base", "--plan").code == 1
    result = sexton("downgrade", "base")
    assert result.stdout == "at base already: nothing to do\n"
    assert "revision 0001 is still there" in result.stderr
    assert sexton("upgrade").code == 0
    assert sexton("downgrade", "base").code == 0
    assert "warning" not in sexton("downgrade", "base").stderr
