"""A constraint that is dropped by a name that the table does not use."""

import pytest

from sexton.database import rows
from tests.support.environments import alembic
from tests.upgrade.conftest import shop

__all__ = ["shop"]

DESCRIBED = (
    'op.drop_constraint_online("fk_customer", "invoices", referent_table="customers", '
    'local_cols=["customer_id"], remote_cols=["id"])'
)


def keys(connection):
    found = rows(
        connection,
        "select conname from pg_constraint "
        "where contype = 'f' and connamespace = 'public'::regnamespace",
    )
    return [row["conname"] for row in found]


def test_a_name_that_is_not_there_is_refused_with_those_that_are(shop):
    team, sexton, connection = shop
    team.add("0001", None, 'op.drop_constraint_online("fk_customer", "invoices")')
    for command in ("upgrade", "upgrade --plan"):
        refused = sexton(*command.split())
        assert refused.code == 5
        said = refused.stderr + refused.stdout
        assert "invoices has no constraint fk_customer; it has: invoices_customer, " in said
        assert "referent_table, local_cols, remote_cols; or if_exists=True" in said
    plain = alembic(sexton.url, "upgrade", "head", cwd=team.folder)
    assert "FAILED: invoices has no constraint fk_customer" in plain.stdout
    assert keys(connection) == ["invoices_customer"]
    team.add(
        "0001", None, 'op.drop_constraint_online("fk_customer", "invoices", if_exists=True)'
    )
    assert sexton("upgrade").code == 0


def test_a_key_that_fits_the_description_is_dropped_whatever_its_name(shop):
    team, sexton, connection = shop
    team.add("0001", None, DESCRIBED)
    assert (
        "drop the constraint invoices_customer of invoices, as fk_customer is called here"
        in sexton("upgrade", "--plan").stdout
    )
    done = sexton("upgrade")
    assert done.code == 0, done
    assert keys(connection) == []
    assert sexton("downgrade", "base").code == 0
    assert sexton("upgrade").code == 0  # there is none over these columns: it is done


@pytest.mark.parametrize(
    "wrong",
    [
        DESCRIBED.replace("customers", "invoices"),
        DESCRIBED.replace("customer_id", "customers_id"),
        DESCRIBED.replace('["id"]', '["name"]'),
    ],
)
def test_a_description_that_fits_nothing_is_refused(shop, wrong):
    team, sexton, connection = shop
    team.add("0001", None, wrong)
    refused = sexton("upgrade")
    assert refused.code == 5, refused
    assert "and no foreign key (" in refused.stderr
    assert keys(connection) == ["invoices_customer"]


def test_interrupted_after_the_drop_it_is_resumed(shop):
    team, sexton, connection = shop
    drop = 'op.drop_constraint_online("invoices_customer", "invoices")'
    team.add("0001", None, f"{drop}\nop.add_soft_delete('customers')\nop.execute('no')")
    assert sexton("upgrade").code == 3
    assert keys(connection) == []
    team.add("0001", None, f"{drop}\nop.add_soft_delete('customers')")
    assert sexton("upgrade").code == 0
    # What is noted of an interrupted run does not count for another one.
    team.add("0002", "0001", drop)
    assert sexton("upgrade").code == 5


def test_the_script_locks_the_parent_first(shop):
    team, sexton, _ = shop
    team.add("0001", None, DESCRIBED.replace("fk_customer", "invoices_customer"))
    script = sexton("upgrade", "--sql").stdout
    assert 'lock table "customers", "invoices" in access exclusive mode' in script


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ('op.drop_index_online("nope", "invoices"', "invoices has no index nope; it has: "),
        ('op.drop_column_online("invoices", "nope"', "it has: id, customer_id"),
    ],
)
def test_an_index_or_a_column_that_is_not_there_is_refused_too(shop, operation, said):
    team, sexton, _ = shop
    team.add("0001", None, f"{operation})")
    refused = sexton("upgrade")
    assert refused.code == 5
    assert said in refused.stderr
    team.add("0001", None, f"{operation}, if_exists=True)")
    assert sexton("upgrade").code == 0


def test_a_new_key_like_the_old_one_is_not_dropped_in_its_place(shop):
    team, sexton, connection = shop
    team.add(
        "0001",
        None,
        'op.create_foreign_key_online("new", "invoices", "customers", ["customer_id"], '
        f'["id"])\n{DESCRIBED.replace("fk_customer", "invoices_customer")}\n'
        "op.add_soft_delete('customers')\nop.execute('no')",
    )
    for _ in range(2):
        assert sexton("upgrade").code == 3
        assert keys(connection) == ["new"]
