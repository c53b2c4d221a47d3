"""`sexton fleet` on real databases: many at once, some of which cannot be reached."""

import json
from pathlib import Path

import pytest

from tests.support.fleets import documented, inventory
from tests.support.project import HEAD
from tests.support.tools import add_model, add_provider


@pytest.fixture
def fleet(sexton):
    def run(*arguments):
        return sexton("fleet", *arguments, database=False)

    run.sexton = sexton
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
    assert first["hint"] == "check the target's address, and that the server is up"
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
    assert again.json["summary"]["clean"] == 3, "a run that is complete is a new run"


def test_a_complete_run_is_no_licence_to_skip_the_next(fleet, database, tmp_path):
    from sexton.catalog.schema import revision
    from sexton.database import connect

    url = database("0001")
    file = inventory(tmp_path, {"a": url})
    state = ("--resume", str(tmp_path / "state.jsonl"), "--inventory", file)
    for goal, at in (("0002", "0002"), ("head", HEAD)):
        result = fleet("upgrade", goal, *state, "--format", "json")
        assert documented(result)["summary"]["applied"] == 1
        with connect(url, name="tests") as connection:
            assert revision(connection) == at
    audit = ("audit", "--inventory", file, "--resume", str(tmp_path / "audit.jsonl"))
    with connect(url, name="tests") as connection:
        add_provider(connection, "openai", api_key="sk-made-up")
        add_model(connection, "openai", is_default=True)
        assert fleet(*audit).code == 0
        add_model(connection, "nobody", "another")
    assert fleet(*audit).code == 1


def test_an_interrupted_run_goes_on_as_it_was_asked_and_not_otherwise(
    fleet, database, tmp_path
):
    """One of the targets cannot be reached, so that the run stays incomplete."""
    from sexton.database import connect

    urls = {"a": database(), "b": "host=127.0.0.1 port=1 dbname=x"}
    file = inventory(tmp_path, urls)
    audit = ("audit", "--inventory", file, "--resume", str(tmp_path / "state.jsonl"))
    first = documented(fleet(*audit, "--format", "json"))
    assert (first["fleet"]["resumed"], first["summary"]["exit_code"]) == (0, 3)
    second = documented(fleet(*audit, "--format", "json"))
    assert second["fleet"]["resumed"] == 1
    assert second["fleet"]["started_at"] == first["fleet"]["started_at"]
    [kept] = [r for r in second["targets"] if r["target"] == "a"]
    assert kept in first["targets"], "with the time at which it was examined"
    assert "1 target was finished by the interrupted run of" in fleet(*audit).stdout
    for other in (("--fail-on", "never"), ("default_missing",), ("--match", "name=a")):
        result = fleet(*audit, *other)
        assert result.code == 5, other
        assert "state.jsonl is about " in result.stderr
    with connect(urls["a"], name="tests") as connection:
        elsewhere = urls["a"].replace(connection.info.dbname, "nowhere")
    inventory(tmp_path, {**urls, "a": elsewhere})
    result = fleet(*audit)
    assert result.code == 5
    assert "about the target a at another address" in result.stderr


def test_an_incomplete_set_of_shards_is_incomplete(fleet, database, tmp_path):
    file = inventory(tmp_path, {f"t{n}": database() for n in range(4)})
    parts = {}
    for number in (1, 2, 3):
        part = tmp_path / f"part{number}.json"
        arguments = ("--inventory", file, "--shard", f"{number}/3", "--format", "json")
        part.write_text(fleet("status", *arguments).stdout)
        parts[number] = str(part)
    result = fleet("merge", parts[1], parts[3], "--format", "json")
    document = documented(result)
    assert result.code == 3
    assert document["fleet"]["missing"] == ["2/3"]
    assert (document["summary"]["status"], document["summary"]["exit_code"]) == (
        "incomplete",
        3,
    )
    half, page = tmp_path / "half.json", tmp_path / "page.html"
    half.write_text(result.stdout)
    assert "INCOMPLETE  the reports lack: 2/3" in fleet("merge", str(half)).stdout
    assert fleet("merge", str(half), parts[2]).code == 0
    fleet.sexton("report", str(page), str(half), database=False)
    assert '<section class="incomplete">' in page.read_text()
    other = json.loads(Path(parts[2]).read_text())
    other["head"]["options"]["match"] = "name=t1"
    Path(parts[2]).write_text(json.dumps(other))
    result = fleet("merge", parts[1], parts[2], parts[3])
    assert result.code == 5
    assert "is about match name=t1" in result.stderr


def test_shards_of_inventories_that_differ_may_lack_a_target(fleet, database, tmp_path):
    urls = {f"t{n}": database() for n in range(3)}
    parts = []
    for number in (1, 2):
        file = inventory(tmp_path, dict(list(urls.items())[: number + 1]))
        part = tmp_path / f"part{number}.json"
        arguments = ("--inventory", file, "--shard", f"{number}/2", "--format", "json")
        part.write_text(fleet("status", *arguments).stdout)
        parts.append(str(part))
    result = fleet("merge", *parts)
    assert result.code == 3
    assert "targets that the shards' inventories do not share" in result.stdout


SPITE = "\x1b]0;pwn\x07\x1b[2J\nok  forged\u202e"


def test_what_a_forged_report_says_reaches_no_terminal(fleet, database, tmp_path):
    file = inventory(tmp_path, {"t": database()})
    part = tmp_path / "part.json"
    part.write_text(fleet("audit", "--inventory", file, "--format", "json").stdout)
    forged = json.loads(part.read_text())
    [target] = forged["targets"]
    forged["targets"] = [
        target
        | {
            "target": SPITE,
            "status": "findings",
            "server": SPITE,
            "revision": SPITE,
            "reason": SPITE,
            "hint": SPITE,
            "checks": [{"check": SPITE, "status": "fail", "count": 1}],
        },
        target,
    ]
    forged["fleet"]["started_at"] = SPITE
    forged["fleet"]["missing"] = [SPITE]
    forged["fleet"]["resumed"] = 1
    forged["summary"]["versions"] = {SPITE: 1}
    part.write_text(json.dumps(forged))
    result = fleet("merge", str(part))
    page = tmp_path / "page.html"
    assert fleet.sexton("report", str(page), str(part), database=False).code == 0
    for said in (result.stdout, result.stderr, page.read_text()):
        assert not {"\x1b", "\x07", "\u202e"} & set(said)
        assert "\nok  forged" not in said
    for shard in (SPITE, "1/0", "0/1", "3/2", "1/999999999"):
        forged["fleet"]["shard"] = shard
        part.write_text(json.dumps(forged))
        result = fleet("merge", str(part))
        assert result.code == 2
        assert "\x1b" not in result.stderr
    forged["targets"] = [
        target | {"checks": [{"check": "x", "status": "fail", "count": "1"}]}
    ]
    part.write_text(json.dumps(forged))
    assert fleet("merge", str(part)).code == 2


def test_the_names_of_an_inventory_reach_no_terminal_raw(fleet, tmp_path):
    file = tmp_path / "fleet.toml"
    name = json.dumps(SPITE)
    file.write_text(
        f'[[target]]\nname = {name}\nurl = "host=127.0.0.1 port=1 dbname=x"\n'
        f"labels = {{ a = {name} }}\n[[wave]]\nname = {name}\n"
    )
    for arguments in (("audit",), ("status", "--match", f"name={SPITE}x")):
        result = fleet(*arguments, "--inventory", str(file))
        assert not {"\x1b", "\x07", "\u202e"} & set(result.stdout + result.stderr)


def test_a_match_without_a_target_names_what_there_is(fleet, tmp_path):
    file = tmp_path / "fleet.toml"
    file.write_text(
        '[[target]]\nname = "eu-1"\nservice = "eu-1"\nlabels = { tier = "canary" }\n'
    )
    for match, says in (
        ("tier=canry", "did you mean tier=canary?"),
        ("tier=x", "the values of tier are canary"),
        ("region=eu", "the inventory's labels are name, tier"),
        ("tier=canary,name=eu-2", "did you mean name=eu-1?"),
    ):
        result = fleet("audit", "--inventory", str(file), "--match", match)
        assert result.code == 2
        assert says in result.stderr


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
