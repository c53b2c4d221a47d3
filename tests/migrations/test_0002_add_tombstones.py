"""Tombstones come back as they were."""

from sexton.database import rows
from sexton.upgrade.drift import drift
from sexton.upgrade.run import Options, downgrade, upgrade
from tests.support.tools import add_model, add_provider, table

DISABLE = Options(choices=frozenset({"tombstones=disable"}))


def test_a_half_set_tombstone_comes_back_as_it_was(connection, url):
    add_provider(connection, "openai")
    add_model(connection, "openai", "no time", deleted=True)
    add_model(connection, "openai", "no flag", deleted_at="2026-01-01T00:00:00Z")
    before = table(connection, "chat_model_configs")
    downgrade(connection, "0001", DISABLE)
    upgrade(connection)
    assert table(connection, "chat_model_configs") == before


def test_a_config_that_was_enabled_meanwhile_stays_alive(connection, url, history):
    downgrade(connection, "0001", DISABLE)
    connection.execute(
        "update chat_model_configs set enabled = true where id = %s", (history,)
    )
    upgrade(connection)
    [config] = rows(connection, "select * from chat_model_configs where id = %s", history)
    assert (config["deleted"], config["enabled"]) == (False, True)
    assert drift(connection) == []
