"""Keys and guards that are asked for are looked for."""

import psycopg
import pytest

from sexton.database import connect, scalar
from tests.support import shop


def test_keys_and_guards_that_are_asked_for_are_looked_for(run, file, shop_url):
    text = shop.FILE.replace('live = "not paid"', 'live = "not paid"\nguard = true')
    text = text.replace('name = "note_lines', 'key = "foreign"\nname = "note_lines')
    file.write_text(text.replace('severity = "warning"', 'key = "none"'))
    with connect(shop_url, name="tests") as connection:
        connection.execute("delete from staff where id = 4")
        connection.execute(
            "alter table staff add constraint odd foreign key (boss_id) references staff"
        )
        connection.execute("update invoices set customer_id = null")

    def found():
        result = run("audit", "declared_keys", "--format", "json", "--confirm-after", "0")
        assert result.code in (0, 1), result.stderr + result.stdout
        [check] = result.json["checks"]
        return {f["key"]["reference"]: f["values"] for f in check["findings"]}, check

    first, check = found()
    assert set(first) == {
        "billing.Note Lines(Tenant, No) -> billing.Credit Notes(Tenant, No)",
        "invoices.customer_id -> customers.id",
        "staff.boss_id -> staff.id",
    }
    said = " ".join(finding["message"] for finding in check["findings"])
    assert "alter table staff drop constraint odd" in said
    assert 'alter table billing."Note Lines" add foreign key ("Tenant", "No")' in said
    with connect(shop_url, name="tests") as connection:
        connection.execute("alter table staff drop constraint odd")
        connection.execute('delete from billing."Note Lines"')
        connection.execute(
            'alter table billing."Note Lines" add foreign key ("Tenant", "No") '
            'references billing."Credit Notes"'
        )
    result = run("guard", "add")
    assert result.code == 0, result.stderr
    assert found()[0] == {}
    with connect(shop_url, name="tests") as connection:
        connection.execute("insert into invoices (customer_id) values (1)")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("update customers set deleted = true where id = 1")
        key = scalar(
            connection,
            "select conname from pg_constraint where conname like 'sexton_guard%'",
        )
        connection.execute(f"alter table invoices rename constraint {key} to mine")
    assert run("guard", "status").code == 0
    assert found()[0] == {}
    assert run("guard", "remove").code == 0
    with connect(shop_url, name="tests") as connection:
        connection.execute(
            "alter table invoices add constraint sexton_guard_not foreign key "
            "(customer_id) references customers"
        )
    assert set(found()[0]) == {"invoices.customer_id -> customers.id"}
