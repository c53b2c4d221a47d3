"""What is set for a session is ours, and gone afterwards."""

import time

from sexton.database import scalar
from tests.support.project import above
from tests.support.waiting import Working


def test_nothing_is_left_behind_of_its_settings(keyed, application):
    before = scalar(
        application, "select count(*) from pg_stat_activity where datname is not null"
    )
    assert Working(keyed).result() == above("0003")
    now = "select count(*) from pg_stat_activity where datname is not null"
    until = time.monotonic() + 10
    while scalar(application, now) > before:
        assert time.monotonic() < until
    assert (
        scalar(application, "select count(*) from pg_locks where locktype = 'advisory'")
        == 0
    )
