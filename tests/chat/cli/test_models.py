"""`sexton model` as its users type it."""

import uuid

import pytest

from tests.support.tools import refusal, table

KEY = "sk-very-made-up"


MISSING = "Resource not found or you do not have access to this resource"


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
