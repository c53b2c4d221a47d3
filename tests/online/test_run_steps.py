"""Steps stand beside plain operations."""

import contextlib

from sexton.database import connect, rows, scalar
from tests.support.environments import alembic


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
