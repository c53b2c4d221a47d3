"""A database where an upgrade has something to wait for."""

import contextlib

import pytest

from sexton.database import connect


@pytest.fixture
def keyed(database):
    """A database where the key still stands: the next step locks both tables."""
    return database("0003")


@pytest.fixture
def application(keyed):
    """Another session, the application's."""
    with contextlib.closing(connect(keyed, name="application")) as opened:
        yield opened
