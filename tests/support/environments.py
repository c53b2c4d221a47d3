"""A team's own Alembic environment."""

import os
import subprocess
import sys

ENV = """
from alembic import context
import sexton.alembic

sexton.alembic.run_migrations(context)
"""


def alembic(url, *arguments, cwd=None):
    parameters = dict(part.split("=", 1) for part in url.split())
    names = {"host": "PGHOST", "user": "PGUSER", "port": "PGPORT", "dbname": "PGDATABASE"}
    environment = os.environ | {names[key]: value for key, value in parameters.items()}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
