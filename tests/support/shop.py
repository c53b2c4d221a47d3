"""A shop: tables of other shapes than the product's, and a project file about them."""

import pytest

from sexton.database import connect
from tests.support.tools import Cli

TABLES = """
    create schema billing;
    create table customers (
        id bigint generated always as identity primary key,
        name text not null,
        deleted boolean not null default false,
        deleted_at timestamptz
    );
    create table invoices (
        id bigint generated always as identity primary key,
        customer_id int,
        paid boolean not null default false
    );
    create index on invoices (customer_id);
    create table addresses (
        id bigint generated always as identity primary key,
        customer_id bigint not null,
        is_default boolean not null default false,
        deleted boolean not null default false,
        created_at timestamptz not null default now()
    );
    create table staff (
        id int primary key, boss_id int, gone_at timestamptz
    );
    create table billing."Credit Notes" (
        "Tenant" int, "No" text, primary key ("Tenant", "No")
    );
    create table billing."Note Lines" (
        "Tenant" int, "No" text, place int, primary key ("Tenant", "No", place)
    ) partition by list ("Tenant");
    create table billing.lines_1 partition of billing."Note Lines" for values in (1);
    create table billing.lines_2 partition of billing."Note Lines" default;
"""
ROWS = """
    insert into customers (name, deleted, deleted_at) values
        ('live', false, null), ('dead', true, now()), ('half', true, null),
        ('early', true, '1066-10-14');
    insert into invoices (customer_id, paid) values
        (1, false), (2, false), (2, true), (99, false), (null, false);
    insert into addresses (customer_id, is_default, deleted, created_at) values
        (1, false, false, '2026-01-01'), (1, false, false, '2026-02-01'),
        (2, true, false, '2026-01-01'), (2, true, false, '2026-03-01'),
        (3, true, true, '2026-01-01');
    insert into staff values (1, null, null), (2, 1, null), (3, 1, now()), (4, 3, null);
    insert into billing."Credit Notes" values (1, 'a'), (2, 'b');
    insert into billing."Note Lines" values (1, 'a', 1), (2, 'a', 1), (2, 'b', 1);
"""
FILE = """
project = "shop"

[[soft_delete]]
table = "customers"
deleted = "deleted"
deleted_at = "deleted_at"

[[soft_delete]]
table = "staff"
deleted_at = "gone_at"

[[reference]]
child = "invoices.customer_id"
parent = "customers.id"
live = "not paid"
on_orphan = "null"

[[reference]]
child = "staff.boss_id"
parent = "staff.id"
severity = "warning"
on_orphan = "tombstone"

[[reference]]
child = "billing.Note Lines(Tenant, No)"
parent = "billing.Credit Notes(Tenant, No)"
id = ["Tenant", "No", "place"]
name = "note_lines_without_note"
on_orphan = "delete"

[[default]]
table = "addresses"
flag = "is_default"
per = ["customer_id"]
among = "not deleted"
elect = ["created_at desc"]
required = true
"""


def build(url, rows=ROWS):
    """Make the shop, with rows that break every rule."""
    with connect(url, name="tests") as connection:
        connection.execute(TABLES + rows)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "sexton.toml"


@pytest.fixture
def shop_url(database):
    url = database("empty")
    build(url)
    return url


@pytest.fixture
def run(shop_url, file, capfd):
    """Run a command with the shop's project file."""
    file.write_text(FILE)
    cli = Cli(shop_url, capfd)
    return lambda *arguments, **how: cli(*arguments, "--config", str(file), **how)
