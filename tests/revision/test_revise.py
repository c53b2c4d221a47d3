"""The document of a revision, and what is written."""

import pytest

from sexton.errors import Refused
from sexton.revision.revise import revise
from tests.support.schemas import conforms


def test_it_is_written_once_and_not_when_rehearsed(project, config, empty):
    empty.execute("create table customers (id int primary key)")
    versions = project.alembic.parent / "db" / "versions"
    rehearsed = conforms(revise(empty, project, config, dry_run=True), "revision")
    assert (rehearsed["written"], list(versions.iterdir())) == (False, [])
    assert rehearsed["message"] == "do what sexton.toml declares"
    made = conforms(revise(empty, project, config, "soften"), "revision")
    assert made["changes"] == rehearsed["changes"] != []
    [file] = versions.glob("*.py")
    assert (made["file"], made["text"]) == (str(file), file.read_text())
    assert (made["written"], made["down_revision"]) == (True, None)
    with pytest.raises(Refused, match=f"the head is {made['revision']}"):
        revise(empty, project, config)


def test_where_nothing_differs_nothing_is_written(project, config, empty):
    empty.execute(
        "create table customers (id int primary key, gone boolean not null default false)"
    )
    document = conforms(revise(empty, project, config), "revision")
    assert (document["changes"], document["file"], document["text"]) == ([], None, None)
