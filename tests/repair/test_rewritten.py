"""A plan is not made of a table that was rewritten or replaced under its snapshot."""

import contextlib

import pytest

from sexton import project as projects
from sexton.database import connect, scalar, snapshot
from sexton.errors import Incomplete
from sexton.repair.planner import plan_repair

TABLES = """
    create table customers (id int primary key);
    create table invoices (id int primary key, customer_id int);
    insert into customers values (1);
    insert into invoices select n, 99 from generate_series(1, 50) n;
"""
FILE = """
project = "shop"
[[reference]]
child = "invoices.customer_id"
parent = "customers.id"
on_orphan = "null"
"""


@pytest.mark.parametrize(
    ("move", "table"),
    [
        ("alter table invoices alter customer_id type bigint", "invoices"),
        (
            "begin; create temp table t as table invoices; truncate invoices; "
            "insert into invoices table t; commit",
            "invoices",
        ),
        (
            "begin; create table i2 (like invoices including all); "
            "insert into i2 table invoices; drop table invoices; "
            "alter table i2 rename to invoices; commit",
            "invoices",
        ),
        ("vacuum full customers", "customers"),
    ],
)
def test_no_plan_is_made_of_what_looks_empty(database, tmp_path, move, table):
    url = database("empty")
    file = tmp_path / "sexton.toml"
    file.write_text(FILE)
    with (
        contextlib.closing(connect(url, name="tests")) as other,
        contextlib.closing(connect(url, name="tests")) as connection,
    ):
        other.execute(TABLES)
        project = projects.load(file)
        checks = list(project.derived.values())
        with snapshot(connection):
            whole = plan_repair(connection, checks, known=project.derived)
            assert len(whole.actions) == 50
        with snapshot(connection):
            scalar(connection, "select 1")
            for statement in move.split("; "):
                other.execute(statement)
            with pytest.raises(Incomplete, match=table):
                plan_repair(connection, checks, known=project.derived)
