"""A key is read from standard input and shown nowhere."""

import io
import uuid

import pytest

from sexton.database import scalar

KEY = "sk-very-made-up"


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
