"""The made-up data is what it says it is, at every revision."""

import contextlib

import pytest

from sexton.chat.sample import DEFAULT, INCIDENT, populate
from sexton.database import connect, rows, scalar
from tests.support.tools import found


@pytest.mark.parametrize("revision", ["0001", "head"])
def test_it_fills_the_tables_the_same_each_time(database, revision):
    counted = []
    for _ in range(2):
        with contextlib.closing(connect(database(revision), name="tests")) as connection:
            populate(connection, chats=40, messages=3, users=5)
            names = ("chat_providers", "chat_model_configs", "chats", "chat_messages")
            counts = [scalar(connection, f"select count(*) from {n}") for n in names]
            query = "select provider, model from chat_model_configs where is_default"
            [default] = rows(connection, query)
            counted.append((counts, tuple(default.values())))
    assert counted[0] == counted[1] == ([8, 19, 40, 120], DEFAULT)


def test_the_incident_is_one_that_the_checks_see(connection):
    populate(connection, chats=4, messages=1, users=1)
    connection.execute(
        "delete from chat_providers where provider = 'openai';"
        "update chat_model_configs set deleted = true, deleted_at = now() "
        "where provider = 'openai'"
    )
    connection.execute(INCIDENT)
    for name in ("model_without_provider", "orphaned_default", "tombstone_half_set"):
        assert found(connection, name).status == "fail", name
