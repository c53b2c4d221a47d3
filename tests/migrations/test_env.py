"""Plain Alembic goes through the same machinery."""

import contextlib

from sexton.catalog import schema
from sexton.database import connect
from tests.support.environments import alembic
from tests.support.project import HEAD


def test_plain_alembic_goes_through_the_same_machinery(database):
    url = database("0003")
    with contextlib.closing(connect(url, name="application")) as other:
        with other.transaction():
            other.execute("select from chat_providers")
            options = ("-x", "max_stall=0.1", "-x", "deadline=0.5")
            blocked = alembic(url, *options, "upgrade", "head")
            assert blocked.returncode != 0
            assert "no access exclusive lock" in blocked.stdout + blocked.stderr
            assert "Traceback" not in blocked.stderr
        assert alembic(url, "upgrade", "head").returncode == 0
        assert schema.revision(other) == HEAD
        assert alembic(url, "check").returncode == 0
        assert alembic(url, "current").stdout.strip() == f"{HEAD} (head)"
