"""A shop's tables, in a schema of their own."""

import contextlib

import pytest

from sexton.database import connect

TABLES = """
    create schema shop;
    create table shop."Customers" (id bigint primary key, name text);
    create table shop."order lines" (
        id bigint primary key, customer integer, note varchar(20)
    );
    insert into shop."Customers" values (1, 'Ada'), (2, 'Bob');
    insert into shop."order lines" values (1, 1, 'x'), (2, 2, null), (3, null, 'y');
"""


@pytest.fixture
def shop(database):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(TABLES)
        yield url, connection
