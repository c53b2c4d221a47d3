"""Model configs: the queries, and creating, changing, deleting, promoting, reassigning."""

import uuid

import pytest

from sexton.chat import models
from sexton.chat.errors import (
    Deleted,
    Disabled,
    Missing,
    ProviderDisabled,
    ProviderMissing,
)
from sexton.database import rows
from sexton.errors import Refused
from tests.support.tools import add_model, add_provider, do, model, table

MISSING = "Resource not found or you do not have access to this resource"
NOBODY = uuid.UUID(int=0)


# -- creating


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"provider": "Open AI"}, "Invalid provider."),
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
    assert (error.value.status, error.value.upstream) == (400, message)
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
    assert (error.value.status, error.value.upstream) == (
        409,
        "Chat model config already exists.",
    )


# -- changing


def test_an_update_changes_what_was_asked_and_nothing_else(connection, graves):
    before = model(connection, graves["usable"])
    do(connection, models.update_model, before["id"], {"display_name": "X"})
    after = model(connection, graves["usable"])
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
    assert model(connection, other)["is_default"]


def test_disabling_the_default_does_not_move_it(connection):
    add_provider(connection, "anthropic")
    default = add_model(connection, "anthropic", "a", is_default=True)
    add_model(connection, "anthropic", "b")
    made = do(connection, models.update_model, default, {"enabled": False})
    assert (made["is_default"], made["enabled"]) == (True, False)


def test_each_reason_has_its_error(connection, graves):
    reasons = {
        Missing: (NOBODY, MISSING, 404),
        Deleted: (graves["tombstone"], MISSING, 404),
        Disabled: (graves["disabled"], None, None),
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
        assert (error.value.upstream, error.value.status) == (message, status)
        hints.add(error.value.message)
    assert len(hints) == len(reasons)


@pytest.mark.parametrize("function", [models.DeleteModel, models.promote])
def test_a_tombstone_is_not_written_again(connection, graves, function):
    before = model(connection, graves["tombstone"])
    with pytest.raises(Deleted):
        do(connection, function, graves["tombstone"])
    assert model(connection, graves["tombstone"]) == before


def test_a_model_cannot_move_to_a_missing_provider(connection, graves):
    with pytest.raises(ProviderMissing):
        do(connection, models.update_model, graves["usable"], {"provider": "vercel"})


def test_an_orphan_can_move_to_a_provider_and_be_deleted(connection, graves):
    moved = do(connection, models.update_model, graves["orphan"], {"provider": "anthropic"})
    assert moved["provider_exists"]
    other = add_model(connection, "openai")
    assert do(connection, models.DeleteModel, other).own["model"]["id"] == other


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
