"""The runner in anybody's env.py, and revisions from the template."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sexton.database import connect, rows, scalar
from sexton.ddl import revisions
from sexton.project import current

ENV = """
from alembic import context
import sexton.alembic

sexton.alembic.run_migrations(context)
"""
FIFTH = '''"""Index the models by name."""

from alembic import op

revision = "0005"
down_revision = "0004"

UPGRADE = [
    {
        "title": "build the index",
        "lock": "share update exclusive",
        "tables": ["chat_model_configs"],
        "outside_transaction": True,
        "done": """
            select exists (
                select from pg_catalog.pg_index i
                join pg_catalog.pg_class c on c.oid = i.indexrelid
                where i.indrelid = to_regclass('chat_model_configs')
                  and c.relname = 'models_by_name' and i.indisvalid
            )
        """,
        "sql": ["create index concurrently models_by_name on chat_model_configs (model)"],
    },
]
DOWNGRADE = []


def upgrade():
    op.run_steps(UPGRADE, at=down_revision)


def downgrade():
    op.run_steps(DOWNGRADE, at=revision)
'''


def alembic(url, *arguments, cwd):
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


@pytest.fixture
def team(tmp_path):
    """A team's own environment: three lines of ini, an env.py of three lines."""
    folder = tmp_path / "db"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    shutil.copy(Path(current().migrations) / "script.py.mako", folder)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = db\n")
    return tmp_path


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


def test_plain_operations_and_steps_stand_side_by_side(team, database):
    url = database("empty")
    (team / "db" / "versions" / "0001_mixed.py").write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        "revision = '0001'\ndown_revision = None\n"
        "def upgrade():\n"
        "    op.create_table('things', sa.Column('id', sa.Integer, primary_key=True))\n"
        "    op.run_steps([{'title': 'comment', 'lock': 'share update exclusive',\n"
        "        'tables': ['things'],\n"
        "        'sql': [\"comment on table things is 'kept'\"]}])\n"
        "    op.add_column('things', sa.Column('name', sa.Text))\n"
        "def downgrade():\n    op.drop_table('things')\n"
    )
    done = alembic(url, "upgrade", "head", cwd=team)
    assert done.returncode == 0, done.stderr
    with contextlib.closing(connect(url, name="tests")) as connection:
        assert scalar(connection, "select obj_description('things'::regclass)") == "kept"
        names = rows(
            connection,
            "select attname from pg_attribute "
            "where attrelid = 'things'::regclass and attnum > 0 order by attnum",
        )
        assert [row["attname"] for row in names] == ["id", "name"]


def test_a_fifth_revision_and_nothing_else_is_known_to_all(tmp_path, database):
    """Also to adopt, which once stamped a database with a revision it did not have."""
    folder = tmp_path / "migrations"
    shutil.copytree(current().migrations, folder, ignore=shutil.ignore_patterns("__py*"))
    (folder / "versions" / "0005_index.py").write_text(FIFTH)
    url = database("0004")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute("drop schema sexton cascade")
    program = f"""
import dataclasses
from pathlib import Path
from sexton import project
found = dataclasses.replace(project.current(), migrations=Path({str(folder)!r}))
project.current = lambda: found
import sexton.upgrade.drift, sexton.upgrade.route, sexton.upgrade.run
import sexton.upgrade.adopt, sexton.upgrade.right_database
from sexton.database import connect
connection = connect({url!r}, name="tests")
adopted = sexton.upgrade.adopt.adopt(connection)
assert adopted["revision"] == "0004", adopted
sexton.upgrade.adopt.stamp(connection, adopted)
assert sexton.upgrade.drift.drift(connection) == []
assert sexton.upgrade.run.upgrade(connection, {url!r}) == ["0005"]
connection.execute("drop index models_by_name")
[said] = sexton.upgrade.drift.drift(connection)
assert "0005: build the index: is not done" in said, said
assert sexton.upgrade.run.upgrade(connection, {url!r}) == ["0005 again"]
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_revisions_are_read_without_alembic():
    program = (
        "import sys\nfrom sexton.project import current\n"
        "from sexton.ddl import revisions\n"
        "assert len(revisions.load(current().migrations)) >= 4\n"
        "assert not {'alembic', 'sqlalchemy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_facts_of_one_subject_follow_each_other():
    found = [
        (fact.since, fact.until)
        for fact in revisions.facts(revisions.load(current().migrations))
        if fact.subject == "the provider key"
    ]
    assert found == [(1, 4), (4, None)]
