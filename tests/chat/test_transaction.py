"""A transaction waits, tries again, and ends."""

import contextlib
import threading

import psycopg
import pytest
from psycopg.rows import tuple_row

from sexton import database
from sexton.chat import keys, locks, models, operation, providers
from sexton.chat.chats import resolve
from sexton.chat.deletion import DeleteProvider, RestoreProvider
from sexton.chat.providers import SwitchProvider
from sexton.chat.reassign import Reassign
from sexton.database import scalar
from sexton.errors import Refused
from tests.support.tools import (
    add_chat,
    add_model,
    add_provider,
    model,
    refusal,
    second_connection,
    table,
)
from tests.support.worlds import SETTINGS, add_override


def test_who_cannot_have_the_lock_tries_a_bounded_number_of_times(
    sexton, url, connection, monkeypatch
):
    monkeypatch.setattr(database, "LOCK_TIMEOUT", "10ms")
    add_provider(connection, "openai")
    attempts = []
    lock = locks.lock_election

    def counting(connection):
        attempts.append(connection)
        lock(connection)

    monkeypatch.setattr("sexton.chat.transaction.lock_election", counting)
    with (
        contextlib.closing(second_connection(url)) as other,
        other.transaction(),
    ):
        lock(other)
        result = sexton("provider", "delete", "openai", "--format=json")
    assert refusal(result)[0] == 6
    assert len(attempts) == database.ATTEMPTS
    assert len(table(connection, "chat_providers")) == 1


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_another_isolation_is_refused_in_a_callers_transaction(connection, two, level):
    with connection.transaction():
        connection.execute(f"set transaction isolation level {level}")
        with pytest.raises(Refused, match=level):
            operation.run(connection, DeleteProvider("openai"))


def test_a_default_of_another_isolation_loses_no_model(url, connection, two):
    # The server's own insert, which waits for nobody, commits while the deletion waits.
    connection.execute("set default_transaction_isolation = 'repeatable read'")
    connection.execute("set application_name = 'deletion'")
    with contextlib.closing(second_connection(url)) as other:
        with other.transaction():
            other.execute("select from chat_providers for key share")
            thread = threading.Thread(
                target=operation.run, args=(connection, DeleteProvider("openai"))
            )
            thread.start()
            waiting = "select count(*) from pg_locks where not granted"
            while thread.is_alive() and not scalar(other, waiting):
                pass
            late = add_model(other, "openai", "late")
        thread.join()
    assert model(connection, late)["deleted"]


def test_a_replica_session_is_refused(connection, two):
    connection.execute("set session_replication_role = replica")
    with pytest.raises(Refused, match="session_replication_role is replica"):
        operation.run(connection, DeleteProvider("openai"))
    assert len(table(connection, "chat_providers")) == 2


def test_everything_works_on_a_plain_connection(url, connection, two):
    connection.execute(SETTINGS)
    for index, kind in enumerate(("site", "advisor", "personal", "pct")):
        add_override(connection, kind, index, two["other"])
    chat = add_chat(connection, two["other"])
    with psycopg.connect(url) as plain:
        assert plain.row_factory is tuple_row
        path = scalar(plain, "show search_path")
        deletion = DeleteProvider("openai")
        for wanted in (
            deletion,
            SwitchProvider("openai", enabled=False),
            models.DeleteModel(two["other"]),
            Reassign(two["other"], two["heir"]),
        ):
            assert operation.preview(plain, wanted).document()
        operation.run(plain, Reassign(two["other"], two["heir"]))
        operation.run(plain, SwitchProvider("openai", enabled=False))
        operation.run(plain, SwitchProvider("openai", enabled=True))
        operation.run(plain, models.DeleteModel(two["other"]))
        operation.run(plain, deletion)
        plain.commit()
        providers.add_provider(plain, "openai", api_key="k", allow_user_api_key=True)
        plain.commit()
        operation.run(plain, RestoreProvider("openai"))
        keys.set_user_key(plain, "openai", two["heir"], "k")
        keys.remove_user_key(plain, "openai", two["heir"])
        providers.update_provider(plain, "openai", {"display_name": "x"})
        made = models.create_model(plain, provider="openai", model="n", context_limit=1)
        models.update_model(plain, made["id"], {"display_name": "x"})
        models.promote(plain, made["id"])
        assert models.list_models(plain)
        assert providers.list_providers(plain)
        assert resolve(plain, chat)["model"]["id"] == two["heir"]
        assert scalar(plain, "show search_path") == path
        assert scalar(plain, "show row_security") == "on"
        plain.rollback()
    # What stood after the caller's last commit is all that is left.
    assert model(connection, two["default"])["deleted"]
