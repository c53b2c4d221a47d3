"""What is new, what persists and what is resolved since an earlier run."""

import json

import pytest

from tests.support.audits import valid
from tests.support.tools import add_model


def test_what_is_new_persists_and_is_resolved(sexton, clean, tmp_path):
    first, second = (add_model(clean, "azure", name) for name in "ab")
    yesterday = tmp_path / "yesterday.json"
    audit = ("audit", "model_without_provider", "--confirm-after", "0")
    assert sexton(*audit, "-o", str(yesterday)).code == 1
    since = (*audit, "--since", str(yesterday))
    assert sexton(*since, "--fail-on", "new").code == 0
    clean.execute("delete from chat_model_configs where id = %s", [first])
    third = add_model(clean, "azure", "c")
    result = sexton(*since, "--fail-on", "new", "--format", "json", "--sample", "1")
    assert result.code == 1
    [check] = valid(result.json)["checks"]
    assert [check[word] for word in ("new", "persisting", "resolved")] == [1, 1, 1]
    assert [f["key"]["id"] for f in check["findings"]] == [str(third)], "new ones first"
    began = json.loads(yesterday.read_text())["run"]["started_at"]
    [check] = sexton(*since, "--format", "json").json["checks"]
    seen = {f["key"]["id"]: f["since"] for f in check["findings"]}
    assert seen[str(second)] == began
    assert seen[str(third)] > began
    said = sexton(*since).stdout
    assert "1 new since, 1 resolved" in said
    assert "Since " in said.splitlines()[-1]


def test_a_list_that_was_cut_off_is_said_and_gives_no_comfort(sexton, clean, tmp_path):
    for name in "abc":
        add_model(clean, "azure", name)
    file = tmp_path / "run.json"
    audit = ("audit", "model_without_provider", "--confirm-after", "0")
    sexton(*audit, "--sample", "1", "-o", str(file))
    result = sexton(*audit, "--since", str(file), "--fail-on", "new", "--format", "json")
    assert result.code == 1
    [check] = valid(result.json)["checks"]
    assert (check["new"], check["persisting"], check["resolved"]) == (0, 3, 0)
    assert "lists fewer findings than it counts" in check["compared"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "[" * 200_000, '{"run": {}, "checks": [{}]}']
)
def test_a_run_that_is_none_is_refused(sexton, tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    result = sexton("audit", "--since", str(tmp_path / "run.json"), database=False)
    assert result.code == 2
    assert "is not a document of an audit" in result.stderr


def test_a_run_on_another_database_is_refused(sexton, clean, tmp_path):
    file = tmp_path / "run.json"
    sexton("audit", "-o", str(file))
    document = json.loads(file.read_text())
    for change, says in (
        ({"run": {**document["run"], "database": "another"}}, "the database another"),
        ({"head": {**document["head"], "system": "1"}}, "a database in the cluster 1"),
    ):
        file.write_text(json.dumps({**document, **change}))
        result = sexton("audit", "--since", str(file))
        assert result.code == 5
        assert says in result.stderr


def test_a_check_of_another_definition_has_new_findings(sexton, clean, tmp_path):
    add_model(clean, "azure")
    file = tmp_path / "run.json"
    audit = ("audit", "model_without_provider", "--confirm-after", "0")
    sexton(*audit, "-o", str(file))
    document = json.loads(file.read_text())
    document["head"]["checks"]["model_without_provider"] = "0" * 32
    file.write_text(json.dumps(document))
    result = sexton(*audit, "--since", str(file), "--fail-on", "new", "--format", "json")
    assert result.code == 1
    [check] = valid(result.json)["checks"]
    assert (check["new"], check["persisting"]) == (1, 0)
    assert "has it by another definition: all are new" in check["compared"]


def test_the_first_night_has_no_earlier_run(sexton, clean, tmp_path):
    """A crontab wants one file that rolls, from the first night on."""
    add_model(clean, "azure")
    file = tmp_path / "r.json"
    nightly = ("audit", "--confirm-after", "0", "--since", str(file), "-o", f"json:{file}")
    first = sexton(*nightly, "--fail-on", "new")
    assert first.code == 1
    assert f"{file} does not exist: there is no earlier run" in first.stderr
    second = sexton(*nightly, "--fail-on", "new")
    assert (second.code, second.stderr) == (0, "")
    assert "0 new, 1 persisting" in second.stdout


def test_a_run_that_cannot_be_read_is_said(sexton, clean, tmp_path):
    result = sexton("audit", "--since", str(tmp_path))
    assert result.code == 2
