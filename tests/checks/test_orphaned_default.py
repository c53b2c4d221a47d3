from tests.tools import add_model, add_provider, assert_clean, assert_finds, repaired, table

NAME = "orphaned_default"


def test_a_default_with_its_provider_is_fine(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    assert_clean(connection, NAME)


def test_an_orphan_that_is_not_the_default_is_another_matter(connection):
    add_provider(connection, "openai")
    add_model(connection, "google")
    assert_clean(connection, NAME)


def test_an_orphan_that_is_the_default_is_found(connection):
    add_provider(connection, "openai")
    orphan = add_model(connection, "google", "gemini", is_default=True)
    messages = assert_finds(connection, NAME, orphan)
    assert messages == ["default model gemini names provider google, which does not exist"]


def test_the_repair_moves_the_default_and_leaves_the_orphan(connection):
    add_provider(connection, "openai")
    heir = add_model(connection, "openai")
    orphan = add_model(connection, "google", is_default=True)
    repaired(connection, NAME)
    models = {model["id"]: model for model in table(connection, "chat_model_configs")}
    assert models[heir]["is_default"]
    assert not models[orphan]["is_default"]
    assert not models[orphan]["deleted"]


def test_with_nobody_usable_the_orphan_still_goes(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", enabled=False)
    add_model(connection, "google", is_default=True)
    repaired(connection, NAME)
    assert_clean(connection, NAME)
