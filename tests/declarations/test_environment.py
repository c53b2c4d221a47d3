"""The team's own Alembic environment: found by the project file, or said why not."""

import pytest

from sexton.declarations.environment import own_environment
from sexton.errors import UsageError
from sexton.project import Project

GOOD = "[alembic]\nscript_location = %(here)s/db\n"


@pytest.fixture
def named(tmp_path):
    """The environment of a project that names a file with a text."""
    (tmp_path / "db" / "versions").mkdir(parents=True)

    def make(name, text):
        (tmp_path / name).write_text(text)
        project = Project("shop", file=tmp_path / "sexton.toml", alembic=tmp_path / name)
        return own_environment(project)

    return make


def test_it_is_read_from_ini_and_toml(named, tmp_path):
    config = named("alembic.ini", GOOD)
    assert config.get_alembic_option("script_location") == str(tmp_path / "db")
    config = named("pyproject.toml", '[tool.alembic]\nscript_location = "%(here)s/db"\n')
    assert config.get_alembic_option("script_location") == str(tmp_path / "db")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("junk", "no section headers"),
        ("[alembic]\n", "No 'script_location'"),
        ("[alembic]\nscript_location = %(nope)s\n", "'nope'"),
        ("[alembic]\nscript_location = %(here)s/gone\n", "doesn't exist"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_file(named, text, said):
    with pytest.raises(UsageError, match=said) as raised:
        named("alembic.ini", text)
    assert "alembic.ini" in raised.value.message


def test_a_project_without_one_says_what_to_write(tmp_path):
    file = tmp_path / "sexton.toml"
    with pytest.raises(UsageError, match="names no Alembic environment") as raised:
        own_environment(Project("shop", file=file))
    assert 'alembic = "alembic.ini"' in raised.value.hint
    with pytest.raises(UsageError, match="there is no file"):
        own_environment(Project("shop", file=file, alembic=tmp_path / "gone.ini"))
