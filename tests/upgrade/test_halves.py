"""A walk that was interrupted, and turned round by the other command."""

import contextlib

import pytest

from sexton.database import connect, scalar
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


def test_what_is_missing_without_a_record_is_never_nothing_to_do(team):
    _, sexton, connection = team
    assert sexton("upgrade").code == 0
    connection.execute("alter table customers drop deleted, drop deleted_at")
    planned = sexton("upgrade", "--plan")
    assert planned.code == 1
    assert "drift: revision 0001 is not all there" in planned.stdout
    result = sexton("upgrade")
    assert (result.code, result.stdout) == (1, "")
    finish = "if its downgrade was interrupted: sexton downgrade base, then sexton upgrade"
    assert finish in result.stderr
    assert sexton("downgrade", "base").code == 0
    assert sexton("upgrade").code == 0
    assert "warning" not in sexton("upgrade").stderr


def test_what_is_there_without_a_record_is_not_dropped(team):
    made, sexton, connection = team
    connection.execute("alter table customers add deleted boolean default false not null")
    assert sexton("downgrade", "base", "--plan").code == 1
    result = sexton("downgrade", "base")
    assert (result.code, result.stdout) == (1, "")
    assert "revision 0001 is still there in part" in result.stderr
    assert scalar(connection, "select count(*) from customers where not deleted") == 2
    assert sexton("upgrade").code == 0
    assert sexton("downgrade", "base").code == 0
    assert "warning" not in sexton("downgrade", "base").stderr
    # Beside something to do it is a warning: it may be somebody's.
    made.add("0000", None, "pass")
    made.add("0001", "0000", SOFTEN, HARDEN)
    connection.execute("insert into alembic_version values ('0000')")
    connection.execute("alter table customers add deleted boolean default false not null")
    down = sexton("downgrade", "base")
    assert down.code == 0
    assert "warning: revision 0001 is still there in part" in down.stderr


@contextlib.contextmanager
def reader(url, query="select from customers"):
    """A session that no ACCESS EXCLUSIVE lock comes past."""
    with contextlib.closing(connect(url, name="reader")) as other:
        other.execute(f"begin; {query}")
        yield


PATIENCE = ("--deadline", "300ms", "--max-stall", "50ms")


@pytest.mark.parametrize("go_on", ["upgrade", "downgrade"])
def test_an_interrupted_downgrade_is_completed_or_reverted(team, go_on):
    _, sexton, connection = team
    team[0].add(
        "0001",
        None,
        SOFTEN,
        'op.drop_index_online("by_customer", "invoices")\n'
        'op.drop_soft_delete("customers")\n'
        'op.create_foreign_key_online("invoices_customer", "invoices", "customers",'
        '["customer_id"], ["id"])',
    )
    assert sexton("upgrade").code == 0
    with reader(sexton.url):
        assert sexton("downgrade", "-1", *PATIENCE).code == 6
    assert not scalar(connection, "select to_regclass('by_customer') is not null")
    if go_on == "upgrade":
        plan = sexton("upgrade", "--plan")
        assert (plan.code, "0001 again" in plan.stdout) == (1, True)
        assert sexton("upgrade", "--sql").code == 3
        assert sexton("upgrade").stdout == "applied 0001 again\nnow at 0001\n"
        assert scalar(connection, "select to_regclass('by_customer') is not null")
    else:
        assert sexton("downgrade", "-1").code == 0
        assert (
            scalar(
                connection,
                "select count(*) from pg_constraint where conname = 'invoices_customer'",
            )
            == 1
        )
        assert sexton("upgrade").code == 0
    assert sexton("upgrade").stdout == "at 0001 already: nothing to do\n"
    assert sexton("upgrade", "--plan").code == 0


def test_half_of_an_interrupted_upgrade_is_reverted(team):
    _, sexton, connection = team
    with reader(sexton.url):
        assert sexton("upgrade", *PATIENCE).code == 6
    assert scalar(connection, "select to_regclass('by_customer') is not null")
    down = sexton("downgrade", "base")
    assert down.stdout == "reverted half of 0001\nnow at base\n"
    assert not scalar(connection, "select to_regclass('by_customer') is not null")
    assert sexton("downgrade", "base").stdout == "at base already: nothing to do\n"
    assert sexton("upgrade").code == 0


def test_what_nobody_can_look_into_is_refused_with_the_command(team):
    made, sexton, connection = team
    made.add(
        "0002",
        "0001",
        'op.execute("create table plain (id int)")\n'
        'op.create_index_online("by_name", "customers", ["name"])',
        'op.execute("drop table plain")\nop.add_soft_delete("invoices")\n'
        'op.drop_index_online("by_name", "customers")',
    )
    assert sexton("upgrade").code == 0
    with reader(sexton.url, "select from invoices"):
        assert sexton("downgrade", "-1", *PATIENCE).code == 6
    assert not scalar(connection, "select to_regclass('plain') is not null")
    for command in (("upgrade",), ("upgrade", "--plan")):
        refused = sexton(*command)
        assert refused.code in (1, 5)
        said = refused.stderr + refused.stdout
        assert "the downgrade of 0002 was interrupted" in said
        assert "next: sexton downgrade 0001, then sexton upgrade" in said
    made.add(
        "0002",
        "0001",
        'op.execute("create table plain (id int)")\n'
        'op.create_index_online("by_name", "customers", ["name"])',
        'op.add_soft_delete("invoices")\nop.drop_index_online("by_name", "customers")',
    )
    assert sexton("downgrade", "0001").code == 0
    assert sexton("upgrade").code == 0
