"""What is set for a session is ours, and gone afterwards."""

import time

from psycopg.pq import TransactionStatus

from sexton.catalog.relations import SAFE_PATH
from sexton.database import scalar
from sexton.ddl.session import own_session
from tests.support.project import above
from tests.support.waiting import Working


def test_nothing_is_left_behind_of_its_settings(keyed, application):
    before = scalar(
        application, "select count(*) from pg_stat_activity where datname is not null"
    )
    assert Working(keyed).result() == above("0003")
    now = "select count(*) from pg_stat_activity where datname is not null"
    until = time.monotonic() + 60
    while scalar(application, now) > before:
        assert time.monotonic() < until
    assert (
        scalar(application, "select count(*) from pg_locks where locktype = 'advisory'")
        == 0
    )


def test_a_session_that_is_a_poolers_is_left_as_it_is(connection):
    """Its settings are one transaction's, which is rolled back."""
    path = "select pg_catalog.current_setting('search_path') as path"
    before = connection.execute(path).fetchone()
    connection.sexton_direct = False
    connection.read_only = True
    with own_session(connection):
        assert connection.info.transaction_status == TransactionStatus.INTRANS
        assert connection.execute(path).fetchone() == {"path": SAFE_PATH}
        with own_session(connection):
            connection.execute("create temp table made ()")
    assert connection.read_only
    assert connection.execute(path).fetchone() == before
    found = connection.execute("select pg_catalog.to_regclass('pg_temp.made') as made")
    assert found.fetchone() == {"made": None}
