"""`sexton fleet` on real databases: many at once, some of which cannot be reached."""

import pytest

from tests.support.fleets import documented, inventory
from tests.support.project import HEAD
from tests.support.tools import add_model, add_provider


@pytest.fixture
def fleet(sexton):
    def run(*arguments):
        return sexton("fleet", *arguments, database=False)

    return run


def test_one_report_over_many_databases(fleet, database, tmp_path):
    from sexton.database import connect

    urls = {f"db{n}": database() for n in range(4)}
    with connect(urls["db1"], name="tests") as broken:
        add_provider(broken, "openai")
        add_model(broken, "nobody", is_default=True)
    urls["gone"] = "host=127.0.0.1 port=1 dbname=x user=u password=pa55word"
    file = inventory(tmp_path, urls)
    result = fleet("audit", "--inventory", file, "--format", "json")
    document = documented(result)
    assert result.code == 3
    assert "pa55word" not in result.stdout + result.stderr
    first, second, *rest = document["targets"]
    assert (first["target"], first["status"]) == ("gone", "unreachable")
    assert (second["target"], second["status"]) == ("db1", "findings")
    assert {"orphaned_default", "model_without_provider"} <= {
        check["check"] for check in second["checks"]
    }
    assert [record["target"] for record in rest] == ["db0", "db2", "db3"]
    assert document["summary"]["versions"] == {HEAD: 4, "none": 1}
    text = fleet("audit", "--inventory", file).stdout
    assert text.splitlines()[0].startswith("UNREACHABLE")


def test_an_upgrade_goes_by_waves_and_resumes(fleet, database, tmp_path):
    from sexton.catalog.schema import revision
    from sexton.database import connect

    urls = {"canary": database("0001"), "a": database("0001"), "b": database("0002")}
    more = '[[wave]]\nname = "canary"\nmatch = "name=canary"\n[[wave]]\nname = "all"\n'
    broken = {**urls, "canary": "host=127.0.0.1 port=1 dbname=x"}
    state = ["--resume", str(tmp_path / "state.jsonl")]
    file = inventory(tmp_path, broken, more)
    result = fleet("upgrade", "--inventory", file, "--format", "json", *state)
    assert result.code == 3
    statuses = {r["target"]: r for r in documented(result)["targets"]}
    assert "not begun" in statuses["a"]["reason"]
    assert "not begun" in statuses["b"]["reason"]

    file = inventory(tmp_path, urls, more)
    result = fleet("upgrade", "--inventory", file, "--format", "json", *state)
    assert result.code == 0, result.stdout
    assert result.json["summary"]["applied"] == 3
    for where in urls.values():
        with connect(where, name="tests") as connection:
            assert revision(connection) == HEAD

    again = fleet("upgrade", "--inventory", file, "--format", "json", *state)
    assert again.json["summary"]["applied"] == 3, "taken from the state, not done again"


def test_a_check_that_is_none_is_wrong_usage_and_no_target_is_asked(fleet, tmp_path):
    file = inventory(tmp_path, {"gone": "host=127.0.0.1 port=1 dbname=x"})
    result = fleet("audit", "frob", "--inventory", file)
    assert (result.code, result.stdout) == (2, "")
    assert "there is no check 'frob'" in result.stderr


def test_status_sets_versions_side_by_side(fleet, database, tmp_path):
    file = inventory(tmp_path, {"old": database("0002"), "new": database()})
    result = fleet("status", "--inventory", file)
    assert result.code == 0
    assert f"revisions differ: 1 at 0002, 1 at {HEAD}" in result.stdout


def test_shards_are_merged_into_one_report(fleet, database, tmp_path):
    file = inventory(tmp_path, {f"t{n}": database() for n in range(5)})
    parts = []
    for number in (1, 2):
        part = tmp_path / f"part{number}.json"
        arguments = ("--inventory", file, "--shard", f"{number}/2", "--format", "json")
        part.write_text(fleet("status", *arguments).stdout)
        parts.append(str(part))
    whole = fleet("merge", *parts, "--format", "json")
    assert whole.code == 0
    assert documented(whole)["summary"]["clean"] == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("audit", "--inventory", "none.toml"), "cannot read the inventory none.toml"),
        (("audit", "--shard", "5/4"), "is no shard"),
        (("merge",), "Missing argument"),
    ],
)
def test_wrong_usage_is_said_in_one_sentence(fleet, arguments, says):
    result = fleet(*arguments)
    assert result.code == 2
    assert says in result.stderr
