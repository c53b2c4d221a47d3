"""What the tests of the life cycle share."""

import pytest

from tests.support.tools import add_model, add_provider


@pytest.fixture
def graves(connection):
    """A usable config, and one for each way not to be usable."""
    add_provider(connection, "anthropic")
    add_provider(connection, "azure", enabled=False)
    return {
        "usable": add_model(connection, "anthropic", "a"),
        "disabled": add_model(connection, "anthropic", "b", enabled=False),
        "under a disabled provider": add_model(connection, "azure", "c"),
        "orphan": add_model(connection, "openai", "d"),
        "tombstone": add_model(
            connection,
            *("anthropic", "e"),
            is_default=True,
            deleted=True,
            deleted_at="2026-01-01",
        ),
    }


@pytest.fixture
def two(connection):
    """A provider with the default and another one, and the heir's: their configs."""
    add_provider(connection, "anthropic")
    add_provider(connection, "openai", api_key="k")
    return {
        "default": add_model(connection, "openai", "a", is_default=True),
        "other": add_model(connection, "openai", "b"),
        "heir": add_model(connection, "anthropic", "c"),
    }
