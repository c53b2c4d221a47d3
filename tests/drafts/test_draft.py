"""`sexton init`: the file it writes is what the catalogs and the models say, no more."""

import textwrap

import pytest

from sexton import project
from sexton.database import connect, scalar
from tests.support.tools import Cli

SCHEMA = """
    create schema "Other One";
    create table parent (id int primary key);
    create table "Other One".parent (id int primary key);
    create table pair (a int, "b c" text, primary key (a, "b c"));
    create table child (
        no int primary key, parent_id int references parent, a int, "b c" text,
        twice int references parent,
        deleted boolean, guess_id int,
        foreign key (a, "b c") references pair
    );
    alter table child add constraint second foreign key (twice)
        references "Other One".parent not valid;
    create table "Other One"."My, Child" (id int primary key, "x.y" int, parent_id int);
    alter table "Other One"."My, Child" add foreign key ("x.y")
        references "Other One".parent not valid;
    create table bare (up int references parent);
    create table keyed (a int not null, b int references parent, unique (a));
    create table cut (id int, day date, up int references parent, primary key (id, day))
        partition by range (day);
    create table cut_1 partition of cut default;
"""


@pytest.fixture
def run(database, tmp_path, monkeypatch, capfd):
    url = database("empty")
    with connect(url, name="tests") as connection:
        connection.execute(SCHEMA)
        if connection.info.server_version >= 180000:
            connection.execute(
                "alter table parent add up int, add foreign key (up) references parent "
                "not enforced"
            )
    monkeypatch.chdir(tmp_path)
    return Cli(url, capfd)


def test_the_file_holds_every_key_and_can_be_audited(run, tmp_path):
    result = run("init")
    assert result.code == 0, result.stderr
    made = project.load(tmp_path / "sexton.toml")
    labels = {ref.label: ref for ref in made.declared.reference}
    expected = {
        "child.parent_id -> parent.id",
        "child(a, b c) -> pair(a, b c)",
        "child.twice -> parent.id",
        "child.twice -> Other One.parent.id",
        "Other One.My, Child.x.y -> Other One.parent.id",
        "cut.up -> parent.id",
        "keyed.b -> parent.id",
    }
    with connect(run.url, name="tests") as connection:
        if connection.info.server_version >= 180000:
            expected |= {"parent.up -> parent.id"}
            assert labels["parent.up -> parent.id"].key == "any"
    assert set(labels) == expected
    assert labels["cut.up -> parent.id"].id == ("id", "day")
    assert labels["child.parent_id -> parent.id"].key == "foreign"
    assert labels["child.twice -> Other One.parent.id"].key == "any"
    assert not made.declared.soft_delete
    text = (tmp_path / "sexton.toml").read_text()
    assert "second is NOT VALID" in text
    assert "# bare has no unique key" in text
    assert labels["keyed.b -> parent.id"].id == ("a",)
    audited = run("audit", "--confirm-after", "0")
    assert audited.code == 0, audited.stderr
    assert run("init", "--out", "-").stdout == text


def test_what_is_there_is_never_overwritten(run, tmp_path):
    (tmp_path / "sexton.toml").write_text('project = "mine"')
    result = run("init")
    assert result.code == 2
    assert "sexton.toml is there already" in result.stderr
    assert (tmp_path / "sexton.toml").read_text() == 'project = "mine"'


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


def test_init_writes_nothing_into_the_database(run):
    before = "select count(*) from pg_class"
    with connect(run.url, name="tests") as connection:
        counted = scalar(connection, before)
        run("init", "--out", "-")
        assert scalar(connection, before) == counted
