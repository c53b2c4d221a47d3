"""Models that are lost get placeholders."""

import uuid

from sexton.repair.undo import undo_run
from tests.support import product
from tests.support.repairs import drop_keys, repaired, whole
from tests.support.tools import add_chat, add_message, add_model, add_provider, table


def test_lost_models_get_placeholders_from_what_debug_runs_remember(connection):
    product.make_tables(connection)
    add_provider(connection, "anthropic")
    kept = add_model(connection, "anthropic", is_default=True)
    drop_keys(connection)
    remembered, forgotten = uuid.uuid4(), uuid.uuid4()
    chat = add_chat(connection, remembered)
    add_message(connection, chat, remembered)
    add_message(connection, chat, forgotten)
    connection.execute(
        "insert into chat_debug_runs (chat_id, model_config_id, provider, model) "
        "values (%s, %s, 'openai', 'gpt-5')",
        (chat, remembered),
    )
    before = whole(connection)
    plan = repaired(connection)
    assert {(a.kind, a.check) for a in plan.actions} == {
        ("insert", "chat_without_model"),
        ("insert", "message_without_model"),
    }
    found = {row["id"]: row for row in table(connection, "chat_model_configs")}
    assert set(found) == {kept, remembered, forgotten}
    assert (found[remembered]["provider"], found[remembered]["model"]) == (
        "openai",
        "gpt-5",
    )
    assert found[forgotten]["model"] == "unknown"
    assert all(found[id]["deleted"] for id in (remembered, forgotten))
    assert whole(connection)["chat_messages"] == before["chat_messages"]
    undo_run(connection, 1)
    assert whole(connection) == before
