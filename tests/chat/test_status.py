"""Where the database stands."""

import psycopg

from tests.support.project import HEAD
from tests.support.tools import Cli, add_chat, add_model, add_provider


def test_status_says_where_the_database_stands(connection, sexton):
    add_provider(connection, "openai")
    live = add_model(connection, "openai", "gpt", is_default=True)
    gone = add_model(connection, "openai", "old", deleted=True, deleted_at="now")
    add_chat(connection, gone)
    assert sexton("status", "--format", "json").json == {
        "revision": HEAD,
        "head": HEAD,
        "drift": [],
        "providers": 1,
        "live": 1,
        "tombstones": 1,
        "chats_on_tombstones": 1,
        "default": {"id": str(live), "provider": "openai", "model": "gpt", "usable": True},
    }


def test_status_works_before_the_change(database, capfd):
    url = database("0001")
    with psycopg.connect(url) as connection:
        connection.execute("insert into chat_providers (provider) values ('openai')")
        connection.execute(
            "insert into chat_model_configs (provider, model, is_default, context_limit,"
            " compression_threshold) values ('openai', 'gpt', true, 1, 1)"
        )
    document = Cli(url, capfd)("status", "--format", "json").json
    assert document["revision"] == "0001"
    assert document["default"]["model"] == "gpt"
    assert document["tombstones"] == 0
