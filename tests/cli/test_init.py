"""`sexton init` overwrites nothing, and writes nothing into the database."""

import pytest

from sexton.database import connect, scalar
from tests.support.drafts import build
from tests.support.tools import Cli


@pytest.fixture
def run(database, tmp_path, monkeypatch, capfd):
    url = database("empty")
    build(url)
    monkeypatch.chdir(tmp_path)
    return Cli(url, capfd)


def test_what_is_there_is_never_overwritten(run, tmp_path):
    (tmp_path / "sexton.toml").write_text('project = "mine"')
    result = run("init")
    assert result.code == 2
    assert "sexton.toml is there already" in result.stderr
    assert (tmp_path / "sexton.toml").read_text() == 'project = "mine"'


def test_init_writes_nothing_into_the_database(run):
    before = "select count(*) from pg_class"
    with connect(run.url, name="tests") as connection:
        counted = scalar(connection, before)
        run("init", "--out", "-")
        assert scalar(connection, before) == counted


def test_without_a_foreign_key_the_file_is_what_to_go_on_with(
    database, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    run = Cli(database("empty"), capfd)
    assert "next: declare in it what is true" in run("init").stderr
    for command in ("audit", "repair"):
        result = run(command)
        assert result.code == 2
        assert "sexton.toml declares nothing yet" in result.stderr
        assert "next: declare a [[reference]]" in result.stderr
