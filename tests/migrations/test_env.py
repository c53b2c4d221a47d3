"""Plain Alembic goes through the same machinery."""

import contextlib
import os
import subprocess
import sys

from sexton.catalog import schema
from sexton.database import connect
from tests.support.project import HEAD


def test_plain_alembic_goes_through_the_same_machinery(database):
    url = database("0003")
    parameters = dict(part.split("=", 1) for part in url.split())
    environment = os.environ | {
        "PGHOST": parameters["host"],
        "PGUSER": parameters["user"],
        "PGPORT": parameters["port"],
        "PGDATABASE": parameters["dbname"],
    }

    def alembic(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    with contextlib.closing(connect(url, name="application")) as other:
        with other.transaction():
            other.execute("select from chat_providers")
            options = ("-x", "max_stall=0.1", "-x", "deadline=0.5")
            blocked = alembic(*options, "upgrade", "head")
            assert blocked.returncode != 0
            assert "no access exclusive lock" in blocked.stdout + blocked.stderr
            assert "Traceback" not in blocked.stderr
        assert alembic("upgrade", "head").returncode == 0
        assert schema.revision(other) == HEAD
        assert alembic("check").returncode == 0
        assert alembic("current").stdout.strip() == f"{HEAD} (head)"
