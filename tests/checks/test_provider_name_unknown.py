import pytest

from tests.support.tools import add_model, assert_clean, assert_finds

NAME = "provider_name_unknown"


@pytest.mark.parametrize("name", ["anthropic", "openai-compat", "vercel"])
def test_a_known_name_is_fine(connection, name):
    add_model(connection, name)
    assert_clean(connection, NAME)


@pytest.mark.parametrize("name", ["OpenAI", " openai", "openai\t", "OPENAI\n"])
def test_the_name_that_was_meant_is_suggested(connection, name):
    model = add_model(connection, name)
    assert_finds(connection, NAME, model, says="(openai?)")


@pytest.mark.parametrize("deleted", [False, True])
def test_any_other_text(connection, deleted):
    model = add_model(connection, "legacy-removed", deleted=deleted)
    assert_finds(connection, NAME, model, says="'legacy-removed', which is no known name")
