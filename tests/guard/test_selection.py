"""Which guards a command is about: declared, named, or there and declared by nobody."""

import contextlib

import pytest

from sexton import project
from sexton.database import connect
from tests.support.guards import everything_of_ours
from tests.support.tools import Cli
from tests.support.worlds_of_guards import BOTH, COMPOSITE, CUSTOMERS

FILE = """
project = "billing"

[[soft_delete]]
table = "customers"
deleted = "deleted"

[[reference]]
child = "invoices.customer_id"
parent = "customers.id"
live = "state <> 'paid'"
guard = true
id = ["no"]
"""


@pytest.fixture
def shop_url(database):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(CUSTOMERS)
    return url


@pytest.fixture
def shop(shop_url):
    with contextlib.closing(connect(shop_url, name="tests")) as opened:
        yield opened


@pytest.fixture
def run(shop_url, capfd, tmp_path, monkeypatch):
    """The command line where nobody declared anything but the chat product."""
    monkeypatch.chdir(tmp_path)
    with project.afresh():
        yield Cli(shop_url, capfd)


@pytest.fixture
def declared(run, tmp_path):
    """The command line in the directory of a project that declares one guard."""
    (tmp_path / "sexton.toml").write_text(FILE)
    return run


def test_a_guard_that_nobody_declares_is_set_looked_at_and_removed(run, shop):
    both = ("--live", BOTH.spec.live, "--parent-live", BOTH.spec.parent_live)
    where = ("guard", "add", "invoices.customer_id", "customers.id", *both)
    planned = run(*where, "--plan")
    assert planned.code == 1, planned.stderr
    assert everything_of_ours(shop) == []
    assert run(*where).code == 0
    assert run(*where, "--plan").code == 0
    again = run("guard", "status", "invoices.customer_id", "--format", "json")
    assert again.code == 0, again.stderr
    [said] = again.json["guards"]
    assert said["child"] == "public.invoices.customer_id"
    assert said["parent"] == "public.customers.id"
    assert said["parent_live"] == "(NOT deleted)"
    assert said["guard"] == "set"
    assert all(part["there"] for part in said["parts"])
    assert run("guard", "remove", "invoices.customer_id").code == 0
    assert everything_of_ours(shop) == []


def test_what_is_there_and_broken_is_found_though_nobody_declares_it(run, shop):
    both = ("--live", BOTH.spec.live, "--parent-live", BOTH.spec.parent_live)
    assert run("guard", "add", "invoices.customer_id", "customers.id", *both).code == 0
    shop.execute("alter table customers disable trigger user")
    said = run("guard", "status", "invoices.customer_id")
    assert said.code == 1
    assert "missing  trigger ~sexton_live_" in said.stdout


def test_composite_ones_are_named_with_all_their_columns(run, shop):
    shop.execute(COMPOSITE.tables)
    where = ("My Shop.In%voices(tenant, Cust No)", "My Shop.Cust omers(tenant, No)")
    live = ("--live", COMPOSITE.spec.live, "--parent-live", COMPOSITE.spec.parent_live)
    assert run("guard", "add", *where, *live).code == 0
    assert run("guard", "status", where[0]).stdout.startswith(
        "guard of My Shop.In%voices(tenant, Cust No) -> My Shop.Cust omers(tenant, No): set"
    )
    assert run("guard", "remove", where[0]).code == 0
    assert everything_of_ours(shop) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "invoices.customer_id"), "say its parent too"),
        (("remove", "invoices.customer_id"), "no guard of invoices.customer_id"),
        (("add", "invoices", "customers.id"), "'invoices' names no column"),
        (("add", "--live", "true"), "say which guard"),
        (("add", "a.b", "c(d, e)"), "pairs columns"),
    ],
)
def test_what_names_no_guard_is_wrong_usage(run, arguments, said):
    failed = run("guard", *arguments)
    assert failed.code == 2
    assert said in failed.stderr


def test_a_view_is_refused_and_no_bug(run, shop):
    shop.execute("create view open_invoices as select * from invoices")
    failed = run("guard", "add", "open_invoices.customer_id", "customers.id")
    assert failed.code == 5
    assert "public.open_invoices can have no guard: it is a view" in failed.stderr


def test_a_declared_guard_takes_no_arguments(declared, shop):
    none = declared("guard", "status")
    assert none.stdout == (
        "guard of invoices.customer_id -> customers.id: there is none; "
        "sexton guard add sets one\n"
    )
    assert declared("guard", "add").code == 0
    audited = declared("audit", "invoices_customer_id_dangling", "--format", "json")
    assert audited.code == 0, audited.stderr + audited.stdout
    [check] = audited.json["checks"]
    assert check["reason"].startswith("enforced by CONSTRAINT sexton_guard_invoices")
    shop.execute("insert into invoices (customer_id, state) values (2, 'paid')")
    refused = declared("guard", "status", "invoices.customer_id", "--format", "json")
    assert refused.json["guards"][0]["live"] == "(state <> 'paid'::text)"
    assert declared("guard", "remove").code == 0
    assert everything_of_ours(shop) == []


def test_orphans_name_the_check_of_the_reference(declared, shop):
    shop.execute("insert into invoices (customer_id) values (2)")
    refused = declared("guard", "add")
    assert refused.code == 5
    assert "there is no live customers.id '2'" in refused.stderr
    assert "sexton repair invoices_customer_id_dangling" in refused.stderr
