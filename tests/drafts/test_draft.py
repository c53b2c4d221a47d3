"""`sexton init`: the file it writes is what the catalogs and the models say, no more."""

import pytest

from sexton import project
from sexton.database import connect
from tests.support.drafts import build
from tests.support.tools import Cli


@pytest.fixture
def run(database, tmp_path, monkeypatch, capfd):
    url = database("empty")
    build(url)
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
