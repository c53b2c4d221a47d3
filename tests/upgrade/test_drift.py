"""Where the catalogs contradict the revision that the database says it has."""

import pytest

from sexton.errors import SchemaDrift
from sexton.upgrade.drift import drift, drift_at, facts, held, verify
from tests.support.tools import add_provider


def test_everything_that_is_promised_now_holds(connection, url):
    add_provider(connection, "openai")
    assert drift(connection) == []
    verify(connection)
    broken = [fact for fact, holds in held(connection) if not holds]
    assert broken, "older revisions promised otherwise"
    assert all(fact.until is not None for fact in broken)


def test_a_table_that_drifted_has_one_sentence(connection):
    connection.execute(
        "drop index idx_chat_model_configs_single_default;"
        "alter table chat_model_configs alter deleted drop not null"
    )
    [sentence] = drift(connection)
    assert sentence.startswith("chat_model_configs: ")
    assert "; " in sentence
    with pytest.raises(SchemaDrift, match="contradicts its revision") as raised:
        verify(connection)
    assert sentence in raised.value.message


def test_what_holds_no_longer_at_the_goal_is_left_out(connection):
    connection.execute("drop index idx_chat_model_configs_single_default")
    assert drift(connection)
    assert drift(connection, until="0001") == []


def test_a_database_without_a_revision_promises_nothing(connection):
    connection.execute("delete from sexton.alembic_version; drop table chats cascade")
    assert drift(connection) == []


def test_facts_are_known_without_a_server(connection):
    assert {fact.subject for fact in facts()} == {
        fact.subject for fact in facts(connection)
    }
    assert drift_at(connection, 1), "the first revision had the key"
