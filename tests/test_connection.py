"""What an interrupt, or a failure while it is made ready, leaves of a connection."""

import psycopg
import pytest
from psycopg import _cursor_base, generators

from sexton.connection import OwnConnection, closed_on_error


def test_an_interrupt_leaves_it_usable_or_closed(url, monkeypatch):
    def interrupted(pgconn):
        yield from generators.send(pgconn)
        raise KeyboardInterrupt

    with OwnConnection.connect(url, autocommit=True) as connection:
        with monkeypatch.context() as patched:
            patched.setattr(_cursor_base, "execute", interrupted)
            with pytest.raises(KeyboardInterrupt):
                connection.execute("select pg_sleep(60)")
        assert connection.closed
    with psycopg.connect(url) as other:
        still = """
            select count(*) from pg_stat_activity
            where query like '%pg_sleep(60)%' and state = 'active'
              and pid <> pg_backend_pid()
        """
        assert other.execute(still).fetchone() == (0,)


def test_what_could_not_be_made_ready_is_closed(url):
    connection = OwnConnection.connect(url)
    with pytest.raises(ZeroDivisionError), closed_on_error(connection):
        raise ZeroDivisionError
    assert connection.closed
    with OwnConnection.connect(url) as connection:
        with closed_on_error(connection):
            connection.execute("select 1")
        assert not connection.closed
