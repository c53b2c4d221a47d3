"""Small worlds of tables, each with its project file."""

import contextlib

import pytest

from sexton import project as projects
from sexton.database import connect


@pytest.fixture
def fresh(database):
    with contextlib.closing(connect(database("empty"), name="tests")) as connection:
        yield connection


@pytest.fixture
def world(fresh, tmp_path):
    """Tables and a project: a connection, and the project."""

    def make(sql, toml):
        fresh.execute(sql)
        file = tmp_path / "sexton.toml"
        file.write_text(f'project = "shop"\n{toml}')
        return fresh, projects.load(file)

    return make


def soft(*tables):
    """That tables have a `deleted_at`."""
    return "".join(
        f'[[soft_delete]]\ntable = "{table}"\ndeleted_at = "deleted_at"\n'
        for table in tables
    )


def refer(child, parent, on_delete="soft_delete"):
    """That a column refers to another."""
    return (
        f'[[reference]]\nchild = "{child}"\nparent = "{parent}"\n'
        f'on_delete = "{on_delete}"\n'
    )


def default(table, flag, **more):
    """That one row of a table carries a flag."""
    lines = "".join(f"{name} = {value!r}\n" for name, value in more.items())
    return f'[[default]]\ntable = "{table}"\nflag = "{flag}"\n{lines}'
