"""What the database lacks is told by the nearest name."""

import pytest

from tests.support import shop


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'child = "invoices.customer_id"',
            'child = "invoices.custmer_id"',
            "reference[0].child: invoices has no column custmer_id; "
            "did you mean customer_id?",
        ),
        (
            'deleted = "deleted"',
            'deleted = "xyz"',
            "soft_delete[0].deleted: customers has no column xyz\n"
            "  next: sexton revision writes the migration that adds it",
        ),
        (
            'parent = "customers.id"',
            'parent = "costumers.id"',
            "has no table costumers; did you mean customers?",
        ),
        (
            'parent = "customers.id"',
            'parent = "public.customers.id"',
            "customers and public.customers are one table: write it in one way",
        ),
        ("billing.Note Lines", "Note Lines", "did you mean billing.Note Lines?"),
        ('live = "not paid"', 'live = "not payed"', "reference[0].live: 'not payed' is no"),
        ('live = "not paid"', "live = \"paid = 'x'\"", "is no condition over invoices"),
        (
            'id = ["Tenant", "No", "place"]',
            'id = ["Tenant"]',
            "billing.Note Lines has no unique key within (Tenant)",
        ),
    ],
)
def test_what_the_database_lacks_is_refused_by_the_nearest_name(
    run, file, old, new, message
):
    file.write_text(shop.FILE.replace(old, new))
    result = run("audit")
    assert result.code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_key_that_tells_rows_apart_is_told(run, file):
    file.write_text(shop.FILE.replace('id = ["Tenant", "No", "place"]', ""))
    result = run("audit")
    assert result.code == 2
    assert 'write id = ["Tenant", "No", "place"] in one of its entries' in result.stderr
