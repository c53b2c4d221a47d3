"""A declared reference is looked at, repaired and restored."""

import pytest

from sexton.database import connect, rows, scalar
from tests.support.tools import Cli


def test_a_valid_key_spares_the_look(run, shop_url):
    with connect(shop_url, name="tests") as connection:
        connection.execute("delete from staff where id = 4")
        connection.execute(
            'delete from billing."Note Lines" where "No" = \'a\' and "Tenant" = 2'
        )
        connection.execute(
            'alter table billing."Note Lines" add foreign key ("Tenant", "No") '
            'references billing."Credit Notes"'
        )
    checks = {
        check["check"]: check
        for check in run("audit", "--format", "json", "--confirm-after", "0").json["checks"]
    }
    assert checks["note_lines_without_note"]["strategy"] == "constraint"


EVERYTHING = """
    select jsonb_agg(to_jsonb(t) order by to_jsonb(t)::text) as rows from (
        select to_jsonb(c) as t from customers c union all
        select to_jsonb(i) from invoices i union all
        select to_jsonb(a) from addresses a union all
        select to_jsonb(s) from staff s union all
        select to_jsonb(l) from billing."Note Lines" l
    ) t
"""


def everything(url):
    with connect(url, name="tests") as connection:
        return scalar(connection, EVERYTHING)


def test_repairs_do_what_is_declared_and_are_taken_back(run, shop_url):
    before = everything(shop_url)
    planned = run("repair", "--format", "json", "--unsafe", "note_lines_without_note")
    assert planned.code == 1, planned.stderr
    assert everything(shop_url) == before
    result = run(
        *("repair", "--apply", "--unsafe", "note_lines_without_note"),
        *("--max-fraction", "1", "--max-rows", "100"),
    )
    assert result.code == 1, result.stdout + result.stderr  # two take a person
    assert "customers 2 is no live row: customer_id is emptied" in result.stdout
    with connect(shop_url, name="tests") as connection:

        def column(query):
            return [row["value"] for row in rows(connection, query)]

        assert column("select customer_id as value from invoices order by id") == [
            *(1, None, 2, None, None)
        ]
        assert column(
            "select id as value from staff where gone_at is null order by id"
        ) == [*(1, 2)]
        assert column("select id as value from addresses where is_default order by id") == [
            *(2, 4)
        ]
        assert column('select count(*) as value from billing."Note Lines"') == [2]
    left = run("audit", "--format", "json", "--confirm-after", "0").json["checks"]
    assert {c["check"] for c in left if c["count"]} == {
        "customers_deleted_at_implausible",
        "customers_half_deleted",
    }
    undone = run("undo", "1")
    assert undone.code == 0, undone.stdout + undone.stderr
    assert everything(shop_url) == before


UNDECIDED = """
    create table customers (id int primary key, gone boolean not null default false);
    create table invoices (id int primary key, customer_id int, paid boolean);
    insert into customers values (1, false), (2, true);
    insert into invoices values
        (1, 99, null), (2, 99, true), (3, 1, null), (4, 2, null), (5, null, null);
"""
UNPAID = """
project = "x"
[[soft_delete]]
table = "customers"
deleted = "gone"
[[reference]]
child = "invoices.customer_id"
parent = "customers.id"
live = "not paid -- {yet}"
guard = true
on_orphan = "null"
"""


@pytest.mark.parametrize("guarded", [False, True])
def test_no_row_is_passed_over_since_its_condition_is_null(
    database, tmp_path, monkeypatch, capfd, guarded
):
    monkeypatch.chdir(tmp_path)
    url = database("empty")
    with connect(url, name="tests") as connection:
        connection.execute(UNDECIDED)
    (tmp_path / "sexton.toml").write_text(UNPAID)
    run = Cli(url, capfd)
    if guarded:
        assert run("guard", "add").code == 0
    found = run("audit", "--format", "json", "--confirm-after", "10ms")
    assert found.code == 1, found.stderr
    checks = {check["check"]: check for check in found.json["checks"]}
    assert checks["invoices_customer_id_dangling"]["count"] == 0
    undecided = checks["invoices_customer_id_undecided"]
    assert [one["key"] for one in undecided["findings"]] == [{"id": 1}, {"id": 4}]
    assert "whether it counts is unknown" in undecided["findings"][0]["message"]
    assert "not paid -- {yet} is null" in undecided["findings"][0]["message"]
    repaired = run("repair", "--apply", "--max-fraction", "1")
    assert "nothing was changed" in repaired.stdout + repaired.stderr or repaired.code
    with connect(url, name="tests") as connection:
        query = "select count(*) from invoices where customer_id is null"
        assert scalar(connection, query) == 1
