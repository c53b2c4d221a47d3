"""The product's tables, made in an empty database and nowhere else."""

import contextlib

import pytest

from sexton.database import connect, rows
from sexton.errors import Refused
from sexton.upgrade.drift import drift
from sexton.upgrade.run import downgrade, upgrade
from tests.support.tools import add_provider


def test_base_is_refused_while_rows_would_be_lost(connection, url):
    add_provider(connection, "openai")
    with pytest.raises(Refused, match="chat_providers has 1 row, which"):
        downgrade(connection, "base")


def test_what_it_makes_goes_without_a_trace(database):
    url = database("empty")
    there = "select relname from pg_class where relnamespace = 'public'::regnamespace"
    with contextlib.closing(connect(url, name="tests")) as connection:
        assert upgrade(connection, "0001") == ["0001"]
        assert drift(connection) == []
        assert "chat_model_configs" in {row["relname"] for row in rows(connection, there)}
        downgrade(connection, "base")
        assert rows(connection, there) == []
