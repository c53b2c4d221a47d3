"""Who would elect a default waits for those who do, and nobody else does."""

import contextlib
import re

import pytest

from sexton.chat import models, operation
from sexton.chat.deletion import DeleteProvider
from sexton.chat.locks import lock_election
from sexton.database import connect, scalar
from sexton.errors import Busy
from tests.support.tools import add_provider, second_connection


def test_a_key_rotation_is_not_held_up_by_a_new_model(url, connection):
    add_provider(connection, "openai")
    with connection.transaction():
        models.create_model(connection, provider="openai", model="m", context_limit=1)
        with contextlib.closing(second_connection(url)) as other:
            other.execute("set lock_timeout = '1s'")
            other.execute("update chat_providers set api_key = 'rotated'")
    assert scalar(connection, "select api_key from chat_providers") == "rotated"


def test_who_holds_the_election_lock_is_named(url, connection, two, monkeypatch):
    monkeypatch.setattr("sexton.database.LOCK_TIMEOUT", "10ms")
    with contextlib.closing(connect(url, name="a stranger")) as other:
        with other.transaction():
            lock_election(other)
            with pytest.raises(Busy) as busy:
                operation.run(connection, DeleteProvider("openai"))
        who = rf"pid {other.info.backend_pid}, {other.info.user} \(a stranger\), "
    state = r"idle in transaction, [\d.]+ m?s old, holds the election lock"
    assert re.search(who + state, busy.value.message)


def test_who_holds_the_provider_is_named(url, connection, two, monkeypatch):
    monkeypatch.setattr("sexton.database.LOCK_TIMEOUT", "10ms")
    with contextlib.closing(connect(url, name="a backup")) as other, other.transaction():
        other.execute("select from chat_providers for update")
        other.execute("select from chat_model_configs for update")
        with pytest.raises(Busy, match=r"\(a backup\)") as busy:
            operation.run(connection, DeleteProvider("openai"))
    assert busy.value.message.count("(a backup)") == 1
