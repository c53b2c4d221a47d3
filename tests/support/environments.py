"""A team's own Alembic environment."""

import os
import subprocess
import sys

from psycopg import conninfo

ENV = """
from alembic import context
import sexton.alembic

sexton.alembic.run_migrations(context)
"""


def alembic(url, *arguments, cwd=None):
    names = {
        **{"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE"},
        **{"user": "PGUSER", "password": "PGPASSWORD"},
    }
    parameters = conninfo.conninfo_to_dict(url)
    environment = os.environ | {names[key]: str(v) for key, v in parameters.items()}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
