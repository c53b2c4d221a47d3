"""Who inherits the default."""

from tests.support.tools import add_model, add_provider, plan


def test_the_heir_is_usable_unless_upstreams_order_is_asked_for(connection):
    add_provider(connection, "anthropic", enabled=False)
    add_provider(connection, "openai")
    add_provider(connection, "vercel")
    add_model(connection, "openai", is_default=True)
    off = add_model(connection, "anthropic")
    usable = add_model(connection, "vercel")
    assert plan(connection, "openai").heir["id"] == usable
    first = plan(connection, "openai", heir="first")
    assert first.heir["id"] == off


def test_an_orphan_is_never_the_usable_heir(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    orphan = add_model(connection, "anthropic")
    assert plan(connection, "openai").heir is None
    first = plan(connection, "openai", heir="first")
    assert first.heir["id"] == orphan


def test_of_equals_the_larger_id_inherits(connection):
    add_provider(connection, "anthropic")
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    moment = "2026-01-01"
    twins = [add_model(connection, "anthropic", updated_at=moment) for _ in range(4)]
    heir = plan(connection, "openai").heir
    assert heir["id"] == max(twins)
