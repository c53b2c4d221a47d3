"""A team's environment, with a project file and a table, on a database of its own."""

import shutil

import pytest

from sexton.declarations.environment import own_environment
from sexton.project import Project
from sexton.reference import Declarations, SoftDelete
from tests.support.revisions import TEMPLATE

SOFT = Declarations(soft_delete=(SoftDelete(table="customers", deleted="gone"),))


@pytest.fixture
def project(team):
    """What the team's project file would say."""
    return Project(
        "shop", file=team / "sexton.toml", alembic=team / "alembic.ini", declared=SOFT
    )


@pytest.fixture
def config(project, monkeypatch):
    """The configuration of the team's environment."""
    shutil.copy(TEMPLATE, project.alembic.parent / "db")
    monkeypatch.chdir(project.alembic.parent)
    return own_environment(project)
