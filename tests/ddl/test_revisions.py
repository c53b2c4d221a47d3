"""What a folder of revisions declares is read in order, without Alembic."""

import contextlib
import shutil
import subprocess
import sys

from sexton.database import connect
from sexton.ddl import revisions
from sexton.project import current
from tests.support.project import HEAD

NEXT = f"{int(HEAD) + 1:04}"
NEWEST = '''"""Index the models by name."""

from alembic import op

revision = "NEXT"
down_revision = "HEAD"

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
'''.replace("NEXT", NEXT).replace("HEAD", HEAD)


def test_a_new_revision_and_nothing_else_is_known_to_all(tmp_path, database):
    """Also to adopt, which once stamped a database with a revision it did not have."""
    folder = tmp_path / "migrations"
    shutil.copytree(current().migrations, folder, ignore=shutil.ignore_patterns("__py*"))
    (folder / "versions" / f"{NEXT}_index.py").write_text(NEWEST)
    url = database(HEAD)
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
assert adopted["revision"] == {HEAD!r}, adopted
sexton.upgrade.adopt.stamp(connection, adopted)
assert sexton.upgrade.drift.drift(connection) == []
assert sexton.upgrade.run.upgrade(connection) == [{NEXT!r}]
connection.execute("drop index models_by_name")
said, earlier = sexton.upgrade.drift.drift(connection)
assert "{NEXT}: build the index: is not done" in said, said
assert "{NEXT} is recorded, but the schema is that of {HEAD}" in earlier, earlier
assert sexton.upgrade.run.upgrade(connection) == ["{NEXT} again"]
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
