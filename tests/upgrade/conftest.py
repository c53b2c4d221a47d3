"""A database in which an upgrade has something to lose."""

import pytest

from tests.support.tools import add_model, add_provider


@pytest.fixture
def populated(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", "a", is_default=True)
    add_model(
        connection, "openai", "b", is_default=True, deleted=True, deleted_at="2026-01-01"
    )
    return connection
