"""An engine over Sexton's own connections."""

from sqlalchemy import text

from sexton.ddl.engine import engine


def test_its_connections_read_as_named_and_keep_nothing_open(url, connection):
    made = engine(url, "sexton upgrade")
    with made.connect() as opened:
        name = opened.execute(text("select current_setting('application_name')")).scalar()
        assert name == "sexton upgrade"
        opened.execute(text("insert into chat_providers (provider) values ('openai')"))
    made.dispose()
    left = connection.execute(
        "select from pg_stat_activity where application_name = 'sexton upgrade' "
        "and datname = current_database() and state <> 'idle'"
    ).fetchall()
    assert left == []
    kept = connection.execute("select from chat_providers").fetchall()
    assert kept == [], "a transaction is the caller's to commit"
