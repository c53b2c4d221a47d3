"""A database where an upgrade has something to wait for."""

import contextlib

import pytest

from sexton.database import connect
from tests.support.batches import FULL


@pytest.fixture
def keyed(database):
    """A database where the key still stands: the next step locks both tables."""
    return database("0003")


@pytest.fixture
def application(keyed):
    """Another session, the application's."""
    with contextlib.closing(connect(keyed, name="application")) as opened:
        yield opened


@pytest.fixture
def table(database):
    """An address, and a connection to its table of FULL rows, which are some batches."""
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute("create table t (id int primary key, n int, by text)")
        connection.execute(f"insert into t select i, 0 from generate_series(1, {FULL}) i")
        yield url, connection
