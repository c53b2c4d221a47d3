import uuid

import pytest

from tests.support.tools import (
    add_model,
    add_provider,
    assert_clean,
    assert_finds,
    configure,
)

NAME = "override_dangling"
SETTINGS = [
    f"agents_chat_{use}_model_override"
    for use in ("explore", "general", "title_generation", "compaction")
]


@pytest.fixture
def model(upstream):
    add_provider(upstream, "openai")
    return add_model(upstream, "openai")


@pytest.mark.parametrize("form", ["{}", "{}:high", " {} ", ""])
def test_a_usable_model_or_none_is_fine(upstream, model, form):
    for setting in SETTINGS:
        configure(upstream, setting, form.format(model))
    assert_clean(upstream, NAME)


@pytest.mark.parametrize("form", ["{}", "{}:high", " {} "])
def test_the_zero_uuid_means_that_none_is_chosen(upstream, model, form):
    for setting in SETTINGS:
        configure(upstream, setting, form.format(uuid.UUID(int=0)))
    assert_clean(upstream, NAME)


@pytest.mark.usefixtures("model")
def test_an_override_of_a_later_release_is_looked_at_too(upstream):
    key = "agents_chat_summary_model_override"
    configure(upstream, key, str(uuid.uuid4()))
    assert_finds(upstream, NAME, {"key": key})


@pytest.mark.usefixtures("model")
def test_another_setting_is_left_alone(upstream):
    configure(upstream, "agents_chat_model_override", "junk")
    assert_clean(upstream, NAME)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("setting", [s for s in SETTINGS if "title" not in s])
def test_a_model_that_does_not_exist(upstream, setting):
    configure(upstream, setting, f"{uuid.uuid4()}:low")
    assert_finds(upstream, NAME, {"key": setting}, says="which does not exist")


@pytest.mark.parametrize(
    "value",
    ["junk", "{}x", "x{}", "{}:", "{}\n{}", "'; drop table chats", "00000000-0000", "%s"],
)
def test_junk_is_a_finding_and_never_an_error(upstream, model, value):
    configure(upstream, SETTINGS[0], value.replace("{}", str(model)))
    assert_finds(upstream, NAME, {"key": SETTINGS[0]}, says="holds no model id")


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
    configure(upstream, SETTINGS[0], str(model))
    upstream.execute(change)
    assert_finds(upstream, NAME, {"key": SETTINGS[0]}, says=says)
