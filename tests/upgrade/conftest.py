"""A database in which an upgrade has something to lose, and a team's own environment."""

import contextlib

import pytest

from sexton.database import connect
from tests.support.own_environment import TABLES, Environment
from tests.support.tools import Cli, add_model, add_provider


@pytest.fixture
def populated(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", "a", is_default=True)
    add_model(
        connection, "openai", "b", is_default=True, deleted=True, deleted_at="2026-01-01"
    )
    return connection


@pytest.fixture
def shop(database, tmp_path, monkeypatch, capfd):
    """The environment, its commands, and a connection."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(TABLES)
        yield Environment(folder), Cli(url, capfd), connection
