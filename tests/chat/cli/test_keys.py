"""A key is read from standard input and shown nowhere."""

import io
import uuid

import pytest

from sexton.database import rows, scalar

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


def test_an_editors_mark_is_no_part_of_a_key(sexton, connection, tmp_path, monkeypatch):
    marked = f"\ufeff{KEY}\r\n"
    (tmp_path / "key").write_text(marked, "utf-8")
    sexton("provider", "add", "openai", "--key-file", str(tmp_path / "key"))
    monkeypatch.setattr("sys.stdin", io.StringIO(marked))
    sexton("provider", "add", "vercel", "--key-file", "-")
    monkeypatch.setenv("MARKED", marked)
    sexton("provider", "add", "google", "--key-env", "MARKED")
    keys = [
        row["api_key"] for row in rows(connection, "select api_key from chat_providers")
    ]
    assert keys == [KEY] * 3


@pytest.mark.parametrize("option", ["--key", "--api-key"])
def test_no_option_takes_a_key(sexton, option):
    assert sexton("provider", "add", "openai", option, KEY).code == 2
