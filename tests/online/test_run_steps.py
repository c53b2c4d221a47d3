"""Steps stand beside plain operations."""

import contextlib

import pytest

from sexton.database import connect, rows, scalar
from sexton.errors import Refused
from sexton.online.run_steps import here
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


@pytest.mark.parametrize("schema", [None, "public"])
def test_a_view_in_the_version_tables_place_is_not_looked_into(database, schema):
    """Its owner's functions would run with our rights."""
    with contextlib.closing(connect(database("empty"), name="tests")) as connection:
        connection.execute(
            """
            create sequence public.sprung;
            create function public.spring() returns text volatile language sql
                as $$ select pg_catalog.nextval('public.sprung')::text $$;
            create view public.alembic_version as select public.spring() as version_num;
            """
        )
        with pytest.raises(Refused, match="alembic_version is no table"):
            here(connection, "alembic_version", schema)
        assert scalar(connection, "select is_called from public.sprung") is False
