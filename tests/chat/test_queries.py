"""The queries: what they hide, and in which order they list."""

from sexton.chat import models, queries
from sexton.chat.transaction import reading, writing
from tests.support.tools import add_model, model


def test_the_queries_hide_tombstones_and_what_is_disabled(connection, graves):
    with reading(connection) as tx:
        check_hiding(tx, graves)


def check_hiding(tx, graves):
    live = [row["id"] for row in queries.list_models(tx)]
    assert live == [
        graves[kind]
        for kind in ("usable", "disabled", "under a disabled provider", "orphan")
    ]
    enabled = [row["id"] for row in queries.list_enabled_models(tx)]
    assert enabled == [graves["usable"]]
    for kind, id in graves.items():
        assert (queries.get_model(tx, id) is None) == (kind == "tombstone")
        assert (queries.get_enabled_model(tx, id) is None) == (kind != "usable")
    assert queries.get_default_model(tx) is None


def test_a_tombstone_still_resolves_for_history(connection, graves):
    found = model(connection, graves["tombstone"])
    assert found
    assert found["deleted"]


def test_no_query_writes_a_tombstone(connection, graves):
    before = model(connection, graves["tombstone"])
    with connection.transaction(), writing(connection, "test") as tx:
        assert queries.update_model(tx, before["id"], {"model": "x"}, "why") == []
        assert queries.tombstone_model(tx, before["id"], "why") == []
        assert queries.promote_model(tx, before["id"], None, "why") == []
        assert queries.unset_defaults(tx, "why") == []
        tombs, *_ = queries.deletion(tx).changes
        [dead] = tx.write((tombs.given("why", provider="anthropic"), 0))
        assert before["id"] not in dead
    assert model(connection, graves["tombstone"]) == before


def test_models_are_listed_newest_first_among_namesakes(connection):
    ids = [
        add_model(connection, "openai", "m", updated_at=moment)
        for moment in ("2026-01-02", "2026-01-03", "2026-01-01")
    ]
    listed = [row["id"] for row in models.list_models(connection)]
    assert listed == [ids[1], ids[0], ids[2]]


def test_the_providers_queries_beside_them(connection):
    with connection.transaction(), writing(connection, "test") as tx:
        made = queries.insert_provider(tx, {"provider": "openai", "enabled": False}, "why")
        found = queries.get_provider_named(tx, "openai")
        assert found
        assert "api_key" not in found
        assert queries.get_provider(tx, made) == found
        assert queries.list_enabled_providers(tx) == []
        assert queries.update_provider(tx, made, {"enabled": True}, "why") == [made]
        assert len(queries.list_enabled_providers(tx)) == 1
        *_, gone = queries.deletion(tx).changes
        assert tx.write((gone.given("why", id=made), 1)) == [[made]]
        assert queries.list_providers(tx) == []
