"""How many statements a command sends: what is asked twice is a round trip each time."""

import psycopg
import pytest


@pytest.fixture
def sent(monkeypatch):
    """All statements, except for those that look at locks: a wait may repeat them."""
    found, execute = [], psycopg.Cursor.execute

    def counted(cursor, query, *arguments, **options):
        text = query if isinstance(query, str) else repr(query)
        if "pg_locks" not in text and "pg_stat_progress" not in text:
            found.append(text)
        return execute(cursor, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    return found


def test_setting_a_guard_again_and_removing_it(sexton, sent):
    for words, most in (("add", 175), ("add", 66), ("status", 19), ("remove", 65)):
        del sent[:]
        assert sexton("guard", words).code == 0
        assert len(sent) <= most, (words, len(sent), "\n".join(sent))


def test_upgrading_an_empty_database_and_one_at_head(from_nothing, sent):
    run, _ = from_nothing
    for words, most in (
        (["upgrade"], 219),
        (["upgrade"], 63),
        (["downgrade", "0003"], 131),
    ):
        del sent[:]
        assert run(*words).code == 0
        assert len(sent) <= most, (words, len(sent), "\n".join(sent))
