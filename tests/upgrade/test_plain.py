"""Plain operations in a plan: named, with the lock that PostgreSQL takes."""

from tests.support.schemas import conforms

PLAIN = """
    things = op.create_table("things", sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("customer", sa.BigInteger, sa.ForeignKey("customers.id")))
    op.bulk_insert(things, [{"id": 1}])
    with op.batch_alter_table("things") as batch:
        batch.add_column(sa.Column("name", sa.Text, server_default="x"))
    op.create_index("plainly", "invoices", ["customer_id"])
    op.create_index("beside", "invoices", ["id"], postgresql_concurrently=True)
    op.drop_index("nameless")
    op.alter_column("customers", "name", type_=sa.String(5))
    op.create_foreign_key("again", "invoices", "customers", ["customer_id"], ["id"])
    op.create_check_constraint("checked", "invoices", "id > 0")
    op.drop_constraint("invoices_customer", "invoices")
    op.execute("update customers set name = 'x'")
    op.set_not_null_online("things", "id")
"""


# The lock that PostgreSQL takes for each of them, and the tables.
LOCKS = [
    ("share row exclusive", ["customers"]),
    ("row exclusive", ["things"]),
    ("access exclusive", ["things"]),
    ("share", ["invoices"]),
    ("share update exclusive", ["invoices"]),
    (None, []),
    ("access exclusive", ["customers"]),
    ("share row exclusive", ["customers", "invoices"]),
    ("access exclusive", ["invoices"]),
    ("access exclusive", ["public.customers", "invoices"]),
    (None, []),
]


def test_what_cannot_be_looked_into_is_named_with_its_lock(shop):
    team, sexton, _ = shop
    team.add("0001", None, PLAIN)
    plan = conforms(sexton("upgrade", "--plan", "--format", "json").json, "upgrade-plan")
    opaque = [step for step in plan["steps"] if step["opaque"]]
    assert [(step["lock"], step["tables"]) for step in opaque] == LOCKS
    assert [step["rewrites"] for step in opaque].count(None) == 3
    assert all("not known" in step["warnings"][0] for step in opaque)
    assert all("cannot be run again" in step["warnings"][-1] for step in opaque)
    assert opaque[-1]["title"] == "run SQL: update customers set name = 'x'"
    [later, *_] = [step for step in plan["steps"] if not step["opaque"]]
    assert "cannot be asked yet" in later["warnings"][0]
    assert "11 cannot be looked into" in sexton("upgrade", "--plan").stdout
