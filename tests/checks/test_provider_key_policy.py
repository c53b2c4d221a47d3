from tests.support.tools import add_provider, assert_clean, assert_finds

NAME = "provider_key_policy"


def test_key_and_policy_that_agree_are_fine(connection):
    add_provider(connection, "openai", api_key="sk-secret")
    add_provider(
        connection, "google", central_api_key_enabled=False, allow_user_api_key=True
    )
    assert_clean(connection, NAME)


def test_a_central_key_that_is_missing(connection):
    provider = add_provider(connection, "openai")
    assert_finds(connection, NAME, provider, says="but has none")


def test_a_stored_key_that_the_policy_forbids(connection):
    provider = add_provider(
        connection,
        "openai",
        api_key="sk-secret",
        central_api_key_enabled=False,
        allow_user_api_key=True,
    )
    assert_finds(connection, NAME, provider, says="but stores one")


def test_a_disabled_provider_is_let_be(connection):
    add_provider(connection, "openai", enabled=False)
    assert_clean(connection, NAME)


def test_bedrock_may_do_without_a_key(connection):
    add_provider(connection, "bedrock")
    assert_clean(connection, NAME)
