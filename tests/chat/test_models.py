"""Model configs: the queries, and creating, changing, deleting, promoting, reassigning."""

import uuid
from typing import Any

import pytest

from sexton.chat import chats, models, providers, queries, reassign
from sexton.database import rows, scalar, transact
from sexton.errors import (
    Deleted,
    Disabled,
    NotFound,
    ProviderDisabled,
    ProviderMissing,
    Refused,
    UsageError,
)
from tests.support.tools import add_chat, add_message, add_model, add_provider, table
from tests.support.worlds import SETTINGS, add_override

MISSING = "Resource not found or you do not have access to this resource"
NOBODY = uuid.UUID(int=0)


def do(connection, function, *args, **kwargs) -> Any:
    return transact(connection, lambda: function(connection, *args, **kwargs))


def get(connection, id) -> Any:
    return models.get_model(connection, id)


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


# -- the queries


def test_the_queries_hide_tombstones_and_what_is_disabled(connection, graves):
    live = [row["id"] for row in queries.list_models(connection)]
    assert live == [
        graves[kind]
        for kind in ("usable", "disabled", "under a disabled provider", "orphan")
    ]
    enabled = [row["id"] for row in queries.list_enabled_models(connection)]
    assert enabled == [graves["usable"]]
    for kind, id in graves.items():
        assert (queries.get_model(connection, id) is None) == (kind == "tombstone")
        assert (queries.get_enabled_model(connection, id) is None) == (kind != "usable")
    assert queries.get_default_model(connection) is None


def test_a_tombstone_still_resolves_for_history(connection, graves):
    found = queries.get_any_model(connection, graves["tombstone"])
    assert found
    assert found["deleted"]


def test_no_query_writes_a_tombstone(connection, graves):
    before = get(connection, graves["tombstone"])
    assert queries.update_model(connection, before["id"], {"model": "x"}) is None
    assert queries.tombstone_model(connection, before["id"]) is None
    assert queries.unset_defaults(connection) == []
    queries.tombstone_models_of(connection, "anthropic")
    assert get(connection, graves["tombstone"]) == before


def test_models_are_listed_newest_first_among_namesakes(connection):
    ids = [
        add_model(connection, "openai", "m", updated_at=moment)
        for moment in ("2026-01-02", "2026-01-03", "2026-01-01")
    ]
    listed = [row["id"] for row in queries.list_models(connection)]
    assert listed == [ids[1], ids[0], ids[2]]


def test_the_providers_queries_beside_them(connection):
    values = {"provider": "openai", "enabled": False}
    made = queries.insert_provider(connection, values)
    found = queries.get_provider_named(connection, "openai")
    assert found
    assert "api_key" not in found
    assert queries.get_provider(connection, made["id"]) == found
    assert queries.list_enabled_providers(connection) == []
    queries.update_provider(connection, made["id"], {"enabled": True})
    assert len(queries.list_enabled_providers(connection)) == 1
    queries.delete_provider(connection, made["id"])
    assert queries.list_providers(connection) == []


# -- creating


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"provider": "OpenAI"}, "Invalid provider."),
        ({"model": " "}, "Model is required."),
        ({"context_limit": 0}, "Context limit is required."),
        ({"context_limit": 2**63}, "Context limit is required."),
        ({"compression_threshold": 101}, "Invalid compression threshold."),
        ({"compression_threshold": -1}, "Invalid compression threshold."),
        ({"options": {"cost": {"input_price": "-1"}}}, "Invalid model config."),
        ({"provider": "openai"}, "Chat provider is not configured."),
    ],
)
def test_creating_is_refused_in_upstreams_words(connection, wrong, message):
    add_provider(connection, "anthropic")
    values = {"provider": "anthropic", "model": "m", "context_limit": 1} | wrong
    with pytest.raises(Refused) as error:
        do(connection, models.create_model, **values)
    assert (error.value.status, error.value.message) == (400, message)
    assert table(connection, "chat_model_configs") == []


def test_the_first_model_becomes_the_default(connection):
    add_provider(connection, "anthropic")
    made = do(
        connection,
        models.create_model,
        provider="anthropic",
        model="m",
        context_limit=1,
        options={"price": 1},
    )
    assert made["is_default"]
    assert (made["compression_threshold"], made["options"]) == (70, {"price": 1})


def test_under_a_disabled_provider_upstreams_order_alone_makes_a_default(connection):
    add_provider(connection, "azure", enabled=False)
    values = {"provider": "azure", "model": "m", "context_limit": 1}
    assert not do(connection, models.create_model, **values)["is_default"]
    with pytest.raises(ProviderDisabled):
        do(connection, models.create_model, **values, is_default=True)
    assert do(connection, models.create_model, **values, heir="first")["is_default"]


def test_a_second_one_is_refused_where_the_database_allows_one(connection):
    connection.execute("create unique index one on chat_model_configs (provider, model)")
    add_provider(connection, "anthropic")
    values = {"provider": "anthropic", "model": "m", "context_limit": 1}
    do(connection, models.create_model, **values)
    with pytest.raises(Refused) as error:
        do(connection, models.create_model, **values)
    assert (error.value.status, error.value.message) == (
        409,
        "Chat model config already exists.",
    )


# -- changing


def test_an_update_changes_what_was_asked_and_nothing_else(connection, graves):
    before = get(connection, graves["usable"])
    do(connection, models.update_model, before["id"], {"display_name": "X"})
    after = get(connection, graves["usable"])
    changed = {name for name in before if before[name] != after[name]}
    # Without a default the update elects one, which is this one.
    assert changed == {"display_name", "updated_at", "is_default"}


def test_the_lone_default_stays_when_it_is_asked_to_step_down(connection):
    add_provider(connection, "anthropic")
    lone = add_model(connection, "anthropic", is_default=True)
    made = do(connection, models.update_model, lone, {"is_default": False})
    assert made["is_default"]


def test_who_steps_down_is_not_elected(connection):
    add_provider(connection, "anthropic")
    lone = add_model(connection, "anthropic", "a", is_default=True)
    other = add_model(connection, "anthropic", "b")
    assert not do(connection, models.update_model, lone, {"is_default": False})[
        "is_default"
    ]
    assert get(connection, other)["is_default"]


def test_disabling_the_default_does_not_move_it(connection):
    add_provider(connection, "anthropic")
    default = add_model(connection, "anthropic", "a", is_default=True)
    add_model(connection, "anthropic", "b")
    made = do(connection, models.update_model, default, {"enabled": False})
    assert (made["is_default"], made["enabled"]) == (True, False)


def test_each_reason_has_its_error(connection, graves):
    reasons = {
        NotFound: (NOBODY, MISSING, 404),
        Deleted: (graves["tombstone"], MISSING, 404),
        Disabled: (graves["disabled"], "The model config is disabled.", None),
        ProviderDisabled: (
            graves["under a disabled provider"],
            "Provider is disabled.",
            400,
        ),
        ProviderMissing: (graves["orphan"], "Chat provider is not configured.", 400),
    }
    hints = set()
    for kind, (id, message, status) in reasons.items():
        with pytest.raises(kind) as error:
            do(connection, models.promote, id)
        assert type(error.value) is kind
        assert (error.value.message, error.value.status) == (message, status)
        hints.add(error.value.hint)
    assert len(hints) == len(reasons)


@pytest.mark.parametrize("function", [models.delete_model, models.promote])
def test_a_tombstone_is_not_written_again(connection, graves, function):
    before = get(connection, graves["tombstone"])
    with pytest.raises(Deleted):
        do(connection, function, graves["tombstone"])
    assert get(connection, graves["tombstone"]) == before


def test_a_model_cannot_move_to_a_missing_provider(connection, graves):
    with pytest.raises(ProviderMissing):
        do(connection, models.update_model, graves["usable"], {"provider": "vercel"})


def test_an_orphan_can_move_to_a_provider_and_be_deleted(connection, graves):
    moved = do(connection, models.update_model, graves["orphan"], {"provider": "anthropic"})
    assert moved["provider_exists"]
    other = add_model(connection, "openai")
    assert do(connection, models.delete_model, other).model["id"] == other


def test_every_change_of_the_default_is_recorded(connection, graves):
    do(connection, models.promote, graves["usable"])
    other = add_model(connection, "anthropic", "f")
    do(connection, models.promote, other, actor="ada")
    changes = rows(
        connection,
        """
        select c.key ->> 'id' as id, c.after -> 'is_default' as is_default
        from sexton.changes c join sexton.runs r using (run)
        where r.actor = 'ada' order by c.step
        """,
    )
    assert changes == [
        {"id": str(graves["usable"]), "is_default": False},
        {"id": str(other), "is_default": True},
    ]


# -- reassigning


def test_what_is_open_moves_and_history_stays(connection, graves):
    connection.execute(SETTINGS)
    old, new = graves["tombstone"], graves["usable"]
    moving = add_chat(connection, old, status="running")
    staying = add_chat(connection, old, archived=True)
    add_message(connection, moving, old)
    for place, kind in enumerate(("site", "advisor", "personal", "pct")):
        add_override(connection, kind, place, old)
    done = do(connection, reassign.reassign, old, new)
    assert (done.chats, done.in_flight_chats, done.overrides) == (1, 1, 4)
    used = {row["id"]: row["last_model_config_id"] for row in table(connection, "chats")}
    assert used == {moving: new, staying: old}
    assert scalar(connection, "select model_config_id from chat_messages") == old
    values = str(
        rows(connection, "table site_configs") + rows(connection, "table user_configs")
    )
    assert str(old) not in values
    assert values.count(str(new)) == 4
    assert '"max_uses": 3' in values


def test_a_users_own_threshold_is_not_overwritten(connection, graves):
    connection.execute(SETTINGS)
    old, new = graves["tombstone"], graves["usable"]
    user = uuid.uuid4()
    for id, percent in ((old, "10"), (new, "90")):
        connection.execute(
            "insert into user_configs values (%s, %s, %s)",
            (user, f"chat_compaction_threshold_pct:{id}", percent),
        )
    done = do(connection, reassign.reassign, old, new)
    assert (done.overrides, done.kept) == (0, 1)
    kept = rows(connection, "select value from user_configs order by value")
    assert [row["value"] for row in kept] == ["10", "90"]


def test_only_a_usable_model_can_take_over(connection, graves):
    for kind in ("disabled", "under a disabled provider", "orphan", "tombstone"):
        with pytest.raises((Refused, NotFound)):
            do(connection, reassign.reassign, graves["usable"], graves[kind])
    with pytest.raises(UsageError):
        do(connection, reassign.reassign, graves["usable"], graves["usable"])


# -- chats


def test_a_chat_on_a_tombstone_goes_on_with_the_default(connection, graves):
    do(connection, models.promote, graves["usable"])
    chat = add_chat(connection, graves["tombstone"])
    found = chats.resolve(connection, chat)
    assert (found["model"]["id"], found["fallback"]) == (graves["usable"], True)
    assert "tombstone" in found["reason"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("usable", "is live"),
        ("disabled", "it is disabled"),
        ("under a disabled provider", "its provider is disabled"),
        ("orphan", "its provider has no row"),
    ],
)
def test_a_chat_keeps_its_live_model_and_hears_of_its_state(
    connection, graves, kind, reason
):
    found = chats.resolve(connection, add_chat(connection, graves[kind]))
    assert (found["model"]["id"], found["fallback"]) == (graves[kind], False)
    assert reason in found["reason"]


def test_without_a_default_a_chat_on_a_tombstone_has_no_model(connection, graves):
    chat = add_chat(connection, graves["tombstone"])
    with pytest.raises(Refused) as error:
        chats.resolve(connection, chat)
    assert error.value.message == "no default chat model config is available"


def test_a_provider_deleted_and_restored_leaves_chats_where_they_were(connection):
    add_provider(connection, "openai")
    used = add_model(connection, "openai", is_default=True)
    chat = add_chat(connection, used)
    do(connection, providers.delete_provider, "openai")
    add_provider(connection, "openai")
    do(connection, providers.restore_provider, "openai")
    assert chats.resolve(connection, chat)["model"]["id"] == used
