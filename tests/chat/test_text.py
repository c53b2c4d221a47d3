"""What an operation would do, and did, in sentences."""

import pytest

from sexton.chat import text
from sexton.chat.deletion import DeleteProvider, RestoreProvider
from sexton.chat.models import DeleteModel
from sexton.chat.operation import preview, run
from sexton.chat.providers import SwitchProvider
from sexton.chat.reassign import Reassign
from tests.support.tools import add_chat, add_model, add_provider


@pytest.fixture
def used(connection, two):
    """The two providers, and a chat on the default."""
    add_chat(connection, two["default"])
    return two


def test_before_it_would_and_afterwards_it_did(connection, used):
    said = text.deletion(preview(connection, DeleteProvider("openai")), done=False)
    assert said.splitlines() == [
        "would delete provider openai",
        "  2 models would become tombstones; 1 chat and 0 messages stay on them",
        f"  c of anthropic ({used['heir']}) would become the default",
        "  for good: the provider's own API key would go with it",
    ]
    done = text.deletion(run(connection, DeleteProvider("openai")), done=True)
    assert done.splitlines()[:2] == [
        "deleted provider openai",
        "  2 models became tombstones; 1 chat and 0 messages stay on them",
    ]


def test_who_inherits_nothing_is_warned_of(connection, used):
    what = preview(connection, DeleteProvider("openai", heir="none"))
    assert "warning: no default is left" in text.deletion(what, done=False)


def test_disabling_and_enabling(connection, used):
    off = text.switch(
        preview(connection, SwitchProvider("openai", enabled=False)), done=False
    )
    assert off.startswith(
        "would disable provider openai\n  2 live models would become unus"
    )
    assert f"c of anthropic ({used['heir']}) would become the default" in off
    on = text.switch(preview(connection, SwitchProvider("openai", enabled=True)), done=True)
    assert on.startswith(
        "enabled provider openai\n  2 live models became usable if enabled"
    )
    assert f"the default stays: a of openai ({used['default']})" not in on
    assert "the default stays: a of openai" in on


def test_a_restoration_lists_what_comes_back(connection, used):
    run(connection, DeleteProvider("openai"))
    connection.execute("insert into chat_providers (provider) values ('openai')")
    said = text.restoration(preview(connection, RestoreProvider("openai")), done=False)
    assert said.startswith("would restore 2 models of openai")
    assert f"\n    {used['default']}" in said


def test_a_name_cannot_forge_a_line(connection, used):
    connection.execute(
        "update chat_model_configs set model = E'x\\nforged' where model = 'b'"
    )
    said = text.removal(preview(connection, DeleteModel(used["other"])), done=False)
    assert said.startswith(f"would delete x\\nforged of openai ({used['other']})")


def test_a_reassignment_says_from_where_to_where(connection, used):
    what = preview(connection, Reassign(used["default"], used["heir"]))
    assert text.reassignment(what, done=False).splitlines() == [
        f"would reassign from a of openai ({used['default']})",
        f"  to c of anthropic ({used['heir']})",
        "  1 open chat (0 in flight), 0 settings, 0 queued messages",
    ]


def test_a_default_that_stays_and_cannot_be_used_is_named_so(connection, sexton):
    add_provider(connection, "openai")
    add_model(connection, "gone", "a", is_default=True)
    said = sexton("provider", "delete", "openai", "--dry-run").stdout
    assert "the default stays: a of gone, NOT USABLE" in said


def test_a_provider_that_is_misspelt_is_guessed(connection, sexton):
    add_provider(connection, "anthropic")
    said = sexton("provider", "delete", "antropic")
    assert said.code == 2
    assert "did you mean anthropic?" in said.stderr
