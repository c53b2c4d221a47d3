"""What a revision would do is noted, and what cannot be is said."""

import pytest

from sexton.database import scalar


def test_a_guard_on_columns_that_are_to_be_made_is_no_refusal(shop):
    team, sexton, _ = shop
    guard = '("invoices.customer_id", "customers.id", live="{}", parent_live="{}")'
    asks = "coalesce(deleted, false) = false", "deleted_at is null"
    for number, below, live in (
        ("0001", None, ("", "not deleted")),
        (
            *("0002", "0001"),
            asks,
        ),
    ):
        table = "customers" if below is None else "invoices"
        add = f"op.add_guard{guard.format(*live)}"
        take = f"op.drop_guard{guard.format(*live)}"
        team.add(number, below, f"op.add_soft_delete('{table}')\n{add}", take)
    plan = sexton("upgrade", "--plan", "--format", "json")
    assert plan.code == 1, plan
    assert not any(step["refused"] for step in plan.json["steps"])
    [later] = [step for step in plan.json["steps"] if step["opaque"]]
    assert "cannot be asked yet" in later["warnings"][0]
    team.add("0001", None, f"op.add_guard{guard.format('', 'not nothing')}")
    assert sexton("upgrade", "0001", "--plan").code == 5


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("op.get_bind().execute(sa.text('delete from invoices'))", "by the connection"),
        ("sa.MetaData().tables['nothing']", "KeyError: 'nothing'"),
        (
            "bind = op.get_bind()\nbind.rollback()\n"
            "bind.execution_options(isolation_level='AUTOCOMMIT')\n"
            "bind.execute(sa.text('delete from invoices'))",
            "by the connection",
        ),
        ("op.get_context().execute('delete from invoices')", "by the connection"),
    ],
)
def test_what_writes_or_fails_while_it_is_looked_at_is_said(shop, does, said):
    team, sexton, connection = shop
    look = "many = op.get_bind().execute(sa.text('select count(*) from invoices')).scalar()"
    named = 'op.drop_index_online(f"nothing_{many}", "invoices")'
    team.add("0001", None, f"{look}\n{named}\n{does}")
    plan = sexton("upgrade", "--plan", "--format", "json").json
    first, last = plan["steps"]
    assert first["title"] == "drop the index nothing_3"
    assert last["title"] == "what the revision does from here on"
    assert said in last["warnings"][0]
    assert scalar(connection, "select count(*) from invoices") == 3
