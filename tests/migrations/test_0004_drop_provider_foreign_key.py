"""The key comes back with stubs for providers that are gone."""

import pytest

from sexton.chat import schema as chat_schema
from sexton.database import rows, scalar
from sexton.upgrade.run import downgrade, upgrade

FILLED = {
    "enabled": "update chat_providers set enabled = true where provider = 'openai'",
    "updated": "update chat_providers set updated_at = now() where provider = 'openai'",
    "given a key": "update chat_providers set api_key = 'k' where provider = 'openai'",
    "given a user's key": """
        insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)
        select gen_random_uuid(), id, 'k' from chat_providers where provider = 'openai'
    """,
    "given a config": """
        insert into chat_model_configs
            (provider, model, context_limit, compression_threshold)
        values ('openai', 'new', 1, 1)
    """,
    "given another's config": """
        update chat_model_configs set provider = 'openai' where provider = 'anthropic'
    """,
}


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("filled", FILLED)
def test_a_stub_that_somebody_filled_is_kept(connection, url, filled):
    downgrade(connection, "0003")
    connection.execute(FILLED[filled])
    upgrade(connection)
    kept = "select count(*) from chat_providers where provider = 'openai'"
    assert scalar(connection, kept) == 1


@pytest.mark.usefixtures("history")
def test_a_stub_that_nobody_touched_goes_and_the_key_is_valid_meanwhile(connection, url):
    downgrade(connection, "0003")
    [key] = chat_schema.provider_keys(connection)
    assert key["valid"]
    stub = "select enabled from chat_providers where provider = 'openai'"
    assert scalar(connection, stub) is False
    upgrade(connection)
    assert rows(connection, stub) == []
