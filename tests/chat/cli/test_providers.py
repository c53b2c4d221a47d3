"""`sexton provider`: what is shown before is what is done."""

import pytest

from sexton.database import rows
from tests.support.tools import add_chat, add_model, add_provider, table


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


def test_what_goes_for_good_is_said_and_kept(connection, sexton, two):
    connection.execute(
        """
        insert into user_chat_provider_keys (user_id, chat_provider_id, api_key)
        select gen_random_uuid(), id, 'k' from chat_providers where provider = 'openai'
        """
    )
    promised = sexton("provider", "delete", "openai", "--dry-run").stdout
    assert "for good: the provider's own API key would go with it" in promised
    assert "for good: 1 user key would go with it" in promised
    assert "2 models would become tombstones" in promised
    done = sexton("provider", "delete", "openai")
    assert "for good: 1 user key went with it" in done.stdout
    assert "sexton undo" in done.stderr
    [run] = rows(connection, "select lost from sexton.runs")
    assert run["lost"] == ["1 users' keys for openai"]


def test_a_person_is_asked_before_a_provider_goes(connection, sexton, two, monkeypatch):
    monkeypatch.setattr("sexton.chat.cli.run._a_person", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    result = sexton("provider", "delete", "openai")
    assert "for good" in result.stderr
    assert len(table(connection, "chat_providers")) == 2
    assert sexton("provider", "delete", "openai", "--yes").code == 0
    assert len(table(connection, "chat_providers")) == 1


def test_a_triggers_word_at_the_end_of_the_transaction_is_no_bug(connection, sexton, two):
    connection.execute(
        """
        create function refuse() returns trigger language plpgsql
            as $$ begin raise exception 'not on a Friday'; end $$;
        create constraint trigger late after delete on chat_providers
            deferrable initially deferred for each row execute function refuse()
        """
    )
    result = sexton("provider", "delete", "openai")
    assert result.code == 5
    assert "sexton: the database's own code refused: not on a Friday\n" in result.stderr
    assert len(table(connection, "chat_providers")) == 2
