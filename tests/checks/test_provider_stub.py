import uuid

import pytest

from tests.support.tools import add_provider, assert_clean, assert_finds

NAME = "provider_stub"


@pytest.mark.parametrize(
    "filled",
    [
        {"enabled": True},
        {"api_key": "sk-secret"},
        {"base_url": "https://example.com"},
        {"display_name": "OpenAI"},
        {"created_by": uuid.uuid4()},
        {"created_at": "2026-01-01", "updated_at": "2026-01-02"},
    ],
    ids=lambda filled: min(filled),
)
def test_a_provider_that_somebody_filled_in_is_fine(connection, filled):
    add_provider(connection, "openai", **{"enabled": False, **filled})
    assert_clean(connection, NAME)


def test_a_disabled_provider_that_nobody_filled_in(connection):
    provider = add_provider(connection, "openai", enabled=False)
    assert_finds(connection, NAME, provider, says="a stub")
