import uuid

import pytest

from tests.tools import (
    add_chat,
    add_message,
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
    found,
)

NAME = "message_without_model"


@pytest.fixture
def chat(connection):
    connection.execute(
        "alter table chat_messages drop constraint chat_messages_model_config_id_fkey"
    )
    add_provider(connection, "openai")
    return add_chat(connection, add_model(connection, "openai"))


def test_a_message_may_name_no_model(connection, chat):
    add_message(connection, chat, None)
    assert_clean(connection, NAME)


def test_a_message_of_a_tombstone_is_fine(connection, chat):
    gone = add_model(connection, "openai", deleted=True, deleted_at="now")
    add_message(connection, chat, gone)
    assert_clean(connection, NAME)


def test_a_dangling_message_is_found(connection, chat):
    missing = uuid.uuid4()
    message = add_message(connection, chat, missing)
    messages = assert_finds(connection, NAME, message)
    assert messages == [f"message {message} names model {missing}, which does not exist"]


def test_many_are_counted_exactly_though_few_are_shown(connection, chat):
    from toolkit.audit import Options, run_checks, select_checks

    for _ in range(12):
        add_message(connection, chat, uuid.uuid4())
    [outcome] = run_checks(connection, select_checks([NAME]), Options(sample=3))[1]
    assert (outcome.count, len(outcome.findings), outcome.truncated) == (12, 3, True)
    keys = [finding.key["id"] for finding in outcome.findings]
    assert keys == sorted(keys)
    assert found(connection, NAME).count == 12
