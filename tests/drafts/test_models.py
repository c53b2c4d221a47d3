"""Keys that models declare and the database lacks."""

import textwrap

import pytest

from sexton import project
from tests.support.drafts import build
from tests.support.tools import Cli


@pytest.fixture
def run(database, tmp_path, monkeypatch, capfd):
    url = database("empty")
    build(url)
    monkeypatch.chdir(tmp_path)
    return Cli(url, capfd)


MODELS = """
    from sqlalchemy import ForeignKey, MetaData, Table, Column, Integer

    metadata = MetaData()
    Table("parent", metadata, Column("id", Integer, primary_key=True))
    Table("gone", metadata, Column("up", ForeignKey("parent.id")))
    Table(
        "child", metadata,
        Column("no", Integer, primary_key=True),
        Column("parent_id", ForeignKey("parent.id")),
        Column("guess_id", ForeignKey("parent.id")),
    )
"""


def test_keys_that_models_declare_and_the_database_lacks_are_told(run, tmp_path):
    (tmp_path / "shop_models.py").write_text(textwrap.dedent(MODELS))
    result = run("init", "--models", "shop_models:metadata")
    assert result.code == 0, result.stderr
    assert (
        "the models declare a key that the database lacks: child.guess_id -> parent.id"
        in result.stderr
    )
    assert "the database has no table gone of the models" in result.stderr
    assert "child.parent_id" not in result.stderr
    made = project.load(tmp_path / "sexton.toml").declared.reference
    [lacking] = [ref for ref in made if ref.child == "child.guess_id"]
    assert lacking.key == "foreign"


@pytest.mark.parametrize(
    "models", ["nowhere", "no_such_module:metadata", "json:nothing", "json:dumps"]
)
def test_models_that_are_none_are_refused(run, models):
    result = run("init", "--models", models)
    assert result.code == 2
    assert f"--models {models}" in result.stderr
