import json
import uuid

import pytest

from tests.support.tools import (
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
    configure,
    look,
)

NAME = "advisor_dangling"
SETTING = "agents_advisor_config"


@pytest.fixture
def model(upstream):
    add_provider(upstream, "openai")
    return add_model(upstream, "openai")


def advise(connection, model_id, **more):
    configure(
        connection,
        SETTING,
        json.dumps({"model_config_id": model_id and str(model_id), **more}),
    )


def test_a_usable_model_is_fine(upstream, model):
    advise(upstream, model, enabled=True)
    assert_clean(upstream, NAME)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    "value",
    ["", "{}", '{"model_config_id": null}', f'{{"model_config_id": "{uuid.UUID(int=0)}"}}'],
)
def test_no_choice_is_fine(upstream, value):
    configure(upstream, SETTING, value)
    assert_clean(upstream, NAME)


def test_an_id_in_capitals_is_the_same_id(upstream, model):
    configure(upstream, SETTING, json.dumps({"model_config_id": str(model).upper()}))
    assert_clean(upstream, NAME)


def test_a_bad_id_elsewhere_in_the_setting_is_fine(upstream, model):
    advise(upstream, model, parent=str(uuid.uuid4()), note="\\u0041 {}[")
    assert_clean(upstream, NAME)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("null", "is not a JSON object"),
        ('["model_config_id"]', "is not a JSON object"),
        ('{"model_config_id": 7}', "holds no model id"),
        ('{"model_config_id": "gpt-5"}', "holds no model id"),
        ('{"model_config_id": {"a": []}}', "holds no model id"),
    ],
)
def test_junk_is_a_finding_and_never_an_error(upstream, value, says):
    configure(upstream, SETTING, value)
    assert_finds(upstream, NAME, {"key": SETTING}, says=says)


@pytest.mark.usefixtures("model")
def test_a_model_that_does_not_exist(upstream):
    advise(upstream, uuid.uuid4())
    assert_finds(upstream, NAME, {"key": SETTING}, says="which does not exist")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("update chat_model_configs set deleted = true, deleted_at = now()", "a tombstone"),
        ("update chat_model_configs set enabled = false", "which is disabled"),
        ("update chat_providers set enabled = false", "whose provider is disabled"),
        ("update chat_model_configs set provider = 'gone'", "whose provider is gone"),
    ],
)
def test_a_model_that_cannot_be_used(upstream, model, change, says):
    advise(upstream, model)
    upstream.execute(change)
    assert_finds(upstream, NAME, {"key": SETTING}, says=says)


@pytest.mark.usefixtures("model")
def test_the_setting_itself_is_never_shown(upstream):
    configure(upstream, SETTING, '{"secret": "sk-live')
    [finding] = look(upstream, NAME).findings
    assert "sk-live" not in f"{finding}"
