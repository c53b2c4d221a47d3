import uuid

from tests.support.tools import add_model, add_provider, assert_clean, assert_finds

NAME = "promotion_silent"
THEN = "2026-01-01T00:00:00Z"
SINCE = "2026-02-01T00:00:00Z"


def test_a_default_with_an_author_or_as_created_is_fine(connection):
    add_provider(connection, "openai")
    add_model(
        connection,
        *("openai", "a"),
        is_default=True,
        created_at=THEN,
        updated_at=SINCE,
        updated_by=uuid.uuid4(),
    )
    assert_clean(connection, NAME)
    connection.execute(
        "update chat_model_configs set updated_by = null, updated_at = created_at"
    )
    assert_clean(connection, NAME)


def test_a_default_that_nobody_chose(connection):
    add_provider(connection, "openai")
    model = add_model(
        connection, "openai", is_default=True, created_at=THEN, updated_at=SINCE
    )
    assert_finds(connection, NAME, model, says="was promoted without an author")


def test_the_deletion_that_caused_it_is_named(connection):
    add_provider(connection, "openai")
    model = add_model(
        connection, "openai", is_default=True, created_at=THEN, updated_at=SINCE
    )
    for name in ("x", "y"):
        add_model(
            connection, "azure", name, created_at=THEN, deleted=True, deleted_at=SINCE
        )
    assert_finds(connection, NAME, model, says="as 2 models were deleted")
