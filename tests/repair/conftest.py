"""A file for a plan, another session, and small batches."""

import contextlib

import pytest

from sexton.repair import batches
from tests.support.tools import second_connection


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.json"


@pytest.fixture
def other(url):
    with contextlib.closing(second_connection(url)) as opened:
        opened.execute("set application_name = 'nightly report'")
        yield opened


@pytest.fixture
def small_batches(monkeypatch):
    """Make plans of more than 10 rows large, in batches of 10."""
    for name in ("SMALL", "FIRST_BATCH", "SMALLEST_BATCH", "LARGEST_BATCH"):
        monkeypatch.setattr(batches, name, 10)


@pytest.fixture
def quick(small_batches, monkeypatch):
    """Lose after a moment, and make plans of more than 10 rows large."""
    monkeypatch.setattr("sexton.database.LOCK_TIMEOUT", "50ms")
