"""The commands of the life cycle: what they print, and with which code they end."""

import contextlib
import io
import json
import threading
import uuid

import psycopg
import pytest

from sexton import database
from sexton.chat import locks, models
from sexton.database import scalar, transact
from sexton.errors import Busy
from sexton.server_errors import to_sexton_error
from tests.support.tools import add_chat, add_model, add_provider, second_connection, table

KEY = "sk-very-made-up"
MISSING = "Resource not found or you do not have access to this resource"


def refusal(result):
    """What a refusal says: exit code, HTTP status and message."""
    error = result.json["error"]
    assert set(error) == {"code", "status", "message", "hint"}
    assert error["code"] == result.code
    return result.code, error["status"], error["message"]


def test_a_whole_life(sexton, connection, tmp_path, monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    added = sexton("provider", "add", "openai", "--key-env", "THE_KEY", "--format=json")
    assert (added.code, added.json["has_api_key"]) == (0, True)
    assert sexton("provider", "add", "anthropic", "--key-file", str(file)).code == 0
    keys = [row["api_key"] for row in table(connection, "chat_providers")]
    assert keys == [KEY, KEY]
    create = ("model", "create", "--context-limit", "1000", "--format=json")
    first = sexton(*create, "openai", "gpt-5").json
    second = sexton(*create, "anthropic", "claude").json
    assert (first["is_default"], second["is_default"]) == (True, False)
    updated = sexton(
        *("model", "update", second["id"], "--display-name", "Claude", "--format=json")
    )
    assert updated.json["display_name"] == "Claude"
    assert sexton("model", "promote", second["id"]).code == 0
    assert sexton("model", "update", second["id"], "--no-default").code == 0
    assert sexton("model", "delete", second["id"]).code == 0
    again = sexton("model", "delete", second["id"], "--format=json")
    assert refusal(again) == (2, 404, MISSING)
    assert "was deleted at" in again.json["error"]["hint"]
    assert sexton("provider", "disable", "openai").code == 0
    assert sexton("provider", "enable", "openai").code == 0
    assert sexton("provider", "delete", "openai").code == 0
    assert sexton("provider", "add", "openai", "--key-file", str(file)).code == 0
    restored = sexton("provider", "restore", "openai", "--format=json")
    assert restored.json["restored"] == [first["id"]]
    assert restored.json["heir"]["id"] == first["id"]


def test_a_key_comes_from_standard_input_and_is_shown_nowhere(
    sexton, connection, monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO(KEY + "\n"))
    result = sexton("provider", "add", "openai", "--key-file", "-", "--user-keys")
    assert KEY not in result.stdout + result.stderr
    assert scalar(connection, "select api_key from chat_providers") == KEY
    monkeypatch.setattr("sys.stdin", io.StringIO(KEY))
    user = str(uuid.uuid4())
    result = sexton("provider", "user-key", "openai", user, "--key-file", "-")
    assert result.code == 0
    assert KEY not in result.stdout + result.stderr
    shown = sexton("provider", "list", "--format=json")
    assert KEY not in shown.stdout
    assert sexton("provider", "user-key", "openai", user, "--remove").code == 0


@pytest.mark.parametrize("option", ["--key", "--api-key"])
def test_no_option_takes_a_key(sexton, option):
    assert sexton("provider", "add", "openai", option, KEY).code == 2


@pytest.mark.parametrize("reading", [["delete", "openai"], ["disable", "openai"]])
def test_the_dry_run_prints_the_document_of_the_run(sexton, connection, reading):
    add_provider(connection, "anthropic")
    add_provider(connection, "openai")
    add_model(connection, "anthropic")
    add_chat(connection, add_model(connection, "openai", is_default=True))
    promised = sexton("provider", *reading, "--dry-run", "--format=json")
    made = sexton("provider", *reading, "--format=json")
    assert promised.stdout == made.stdout
    assert promised.code == made.code == 0


def test_the_documents_keys_are_the_contract(sexton, connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    document = sexton("provider", "delete", "openai", "--dry-run", "--format=json").json
    counts = ("chats", "messages", "user_keys", "overrides")
    assert [type(document[name]) for name in counts] == [int] * 4
    assert {"provider", "tombstoned", "heir", "previous_default"} <= set(document)
    assert document["heir"] is None


def test_a_change_from_outside_warns_of_the_products_caches(sexton, connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    assert "10 s" not in sexton("provider", "delete", "openai", "--dry-run").stderr
    result = sexton("provider", "delete", "openai", "--format=json")
    assert "10 s" in result.stderr
    assert json.loads(result.stdout)["provider"] == "openai"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["model", "promote", "x"], (2, 400, "Invalid chat model config ID.")),
        (["model", "delete", str(uuid.UUID(int=0))], (2, 404, MISSING)),
        (["provider", "delete", "openai"], (2, 404, MISSING)),
        (["provider", "add", "Open AI"], (5, 400, "Invalid provider.")),
        (
            ["provider", "add", "openai"],
            (5, 400, "API key is required when central API key is enabled."),
        ),
        (["model", "create", "openai", "m"], (5, 400, "Context limit is required.")),
        (
            ["model", "create", "openai", "m", "--context-limit", "1"],
            (5, 400, "Chat provider is not configured."),
        ),
        (
            ["provider", "restore", "openai"],
            (5, 400, "Chat provider is not configured."),
        ),
    ],
)
def test_refusals_carry_upstreams_words_and_our_codes(sexton, arguments, expected):
    assert refusal(sexton(*arguments, "--format=json")) == expected


def test_the_journal_knows_the_actor(sexton, connection):
    add_provider(connection, "openai")
    sexton("provider", "delete", "openai", "--actor", "ada")
    assert scalar(connection, "select actor from sexton.runs") == "ada"


def test_without_a_journal_nothing_of_ours_is_made(sexton, connection):
    add_provider(connection, "openai")
    assert sexton("provider", "delete", "openai", "--no-journal").code == 0
    assert scalar(connection, "select to_regclass('sexton.runs')") is None


# -- busy, and trying again


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


def test_a_lock_that_is_let_go_in_time_is_no_failure(url, connection, monkeypatch):
    monkeypatch.setattr(database, "LOCK_TIMEOUT", "50ms")
    add_provider(connection, "openai")
    model = add_model(connection, "openai")
    held, refused = threading.Event(), threading.Event()

    def hold():
        with (
            contextlib.closing(second_connection(url)) as other,
            other.transaction(),
        ):
            other.execute("select from chat_providers for update")
            held.set()
            assert refused.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)

    def work():
        try:
            return models.promote(connection, model)
        except psycopg.errors.LockNotAvailable:
            refused.set()
            raise

    assert transact(connection, work)["is_default"]
    thread.join()


def test_a_key_rotation_is_not_held_up_by_a_new_model(url, connection):
    add_provider(connection, "openai")
    with connection.transaction():
        models.create_model(connection, provider="openai", model="m", context_limit=1)
        with contextlib.closing(second_connection(url)) as other:
            other.execute("set lock_timeout = '1s'")
            other.execute("update chat_providers set api_key = 'rotated'")
    assert scalar(connection, "select api_key from chat_providers") == "rotated"


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.SerializationFailure,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.LockNotAvailable,
    ],
)
def test_what_loses_every_time_ends_as_busy(connection, monkeypatch, error):
    monkeypatch.setattr("sexton.database.time.sleep", lambda _: None)
    tries = []

    def lose():
        tries.append(error)
        raise error("lost")

    with pytest.raises(error) as lost:
        transact(connection, lose)
    assert isinstance(to_sexton_error(lost.value), Busy)
    assert len(tries) == database.ATTEMPTS
