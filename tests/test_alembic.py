"""The runner in anybody's env.py, and revisions from the template."""

import contextlib
import subprocess
import sys
from pathlib import Path

from sexton.database import connect, scalar
from tests.support.environments import alembic


def test_a_revision_from_the_template_runs_and_passes_lint(team, database):
    url = database("empty")
    made = alembic(url, "revision", "-m", "first", "--rev-id", "0001", cwd=team)
    assert made.returncode == 0, made.stderr
    made = alembic(url, "revision", "-m", "second", "--rev-id", "0002", cwd=team)
    assert made.returncode == 0, made.stderr
    for arguments in (["upgrade", "head"], ["downgrade", "base"], ["upgrade", "head"]):
        done = alembic(url, *arguments, cwd=team)
        assert done.returncode == 0, done.stderr
    with contextlib.closing(connect(url, name="tests")) as connection:
        assert scalar(connection, "select version_num from alembic_version") == "0002"
    config = Path(__file__).parent.parent / "pyproject.toml"
    ruff = Path(sys.executable).with_name("ruff")
    versions = team / "db" / "versions"
    rules = "--extend-per-file-ignores=*.py:D103"
    for command in (["check", rules], ["format", "--check"]):
        linted = subprocess.run(
            [ruff, *command, "--config", config, versions],
            capture_output=True,
            text=True,
            check=False,
        )
        assert linted.returncode == 0, linted.stdout
