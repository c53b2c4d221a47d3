import pytest

from tests.support.tools import add_provider, assert_clean, assert_finds, configure

NAME = "computer_use_provider_missing"
SETTING = "agents_computer_use_provider"


@pytest.mark.parametrize("value", ["", "  ", "anthropic", " anthropic\n".strip("\n")])
def test_an_enabled_provider_or_none_is_fine(upstream, value):
    add_provider(upstream, "anthropic")
    configure(upstream, SETTING, value)
    assert_clean(upstream, NAME)


def test_a_provider_that_does_not_exist(upstream):
    add_provider(upstream, "anthropic")
    configure(upstream, SETTING, "openai")
    assert_finds(upstream, NAME, {"key": SETTING}, says="'openai', which does not exist")


def test_a_provider_that_is_disabled(upstream):
    add_provider(upstream, "anthropic", enabled=False)
    configure(upstream, SETTING, "anthropic")
    assert_finds(upstream, NAME, {"key": SETTING}, says="which is disabled")


def test_another_setting_is_left_alone(upstream):
    add_provider(upstream, "anthropic")
    configure(upstream, "another", "openai")
    assert_clean(upstream, NAME)
