import datetime

import pytest

from tests.support.tools import (
    add_chat,
    add_message,
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
)

NAME = "message_after_deletion"
DELETED = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def write(connection):
    add_provider(connection, "openai")
    model = add_model(
        connection, "openai", created_at="2025-01-01", deleted=True, deleted_at=DELETED
    )
    chat = add_chat(connection, model)

    def write(seconds):
        when = DELETED + datetime.timedelta(seconds=seconds)
        return add_message(connection, chat, model, created_at=when)

    return write


def test_a_minute_is_granted(connection, write):
    write(-3600)
    write(60)
    assert_clean(connection, NAME)


def test_a_message_later_than_that(connection, write):
    write(0)
    late = write(61)
    assert_finds(connection, NAME, late, says="model m after the model was deleted")


@pytest.mark.usefixtures("write")
def test_a_live_model_may_write(connection):
    model = add_model(connection, "openai")
    add_message(connection, add_chat(connection, model), model)
    assert_clean(connection, NAME)
