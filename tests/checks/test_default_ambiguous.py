import pytest

from tests.tools import add_model, add_provider, assert_clean, assert_finds, repaired, table

NAME = "default_ambiguous"


@pytest.fixture
def connection(connection):
    connection.execute("drop index idx_chat_model_configs_single_default")
    return connection


def defaults(connection):
    models = table(connection, "chat_model_configs")
    return [m["id"] for m in models if m["is_default"] and not m["deleted"]]


def test_one_default_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    assert_clean(connection, NAME)


def test_tombstones_do_not_count(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    add_model(connection, "openai", is_default=True, deleted=True, deleted_at="now")
    assert_clean(connection, NAME)


def test_two_defaults_are_both_found(connection):
    add_provider(connection, "openai")
    both = [add_model(connection, "openai", is_default=True) for _ in range(2)]
    messages = assert_finds(connection, NAME, *both)
    assert messages == ["model m of openai is one of 2 defaults"] * 2


def test_the_repair_keeps_the_usable_one_updated_last(connection):
    add_provider(connection, "azure", enabled=False)
    add_provider(connection, "openai")
    old = {"updated_at": "2020-01-01", "is_default": True}
    add_model(connection, "openai", "older", is_default=True, updated_at="2019-01-01")
    kept = add_model(connection, "openai", "newer", **old)
    add_model(connection, "azure", "newest but off", is_default=True)
    repaired(connection, NAME)
    assert defaults(connection) == [kept]


def test_orphans_lose_to_anybody(connection):
    add_provider(connection, "openai")
    kept = add_model(connection, "openai", is_default=True, updated_at="2019-01-01")
    add_model(connection, "google", is_default=True)
    repaired(connection, NAME)
    assert defaults(connection) == [kept]


def test_among_orphans_alone_the_first_usable_is_promoted(connection):
    add_provider(connection, "openai")
    heir = add_model(connection, "openai")
    add_model(connection, "google", is_default=True)
    add_model(connection, "vercel", is_default=True)
    repaired(connection, NAME)
    assert defaults(connection) == [heir]
