"""Reports: the worst first, exit codes, and shards that are merged."""

import json

import pytest

from sexton.errors import UsageError
from sexton.fleet.report import CODES, FleetReport, merge
from sexton.reporters import fleet as reporter
from tests.support.project import HEAD


def report(*statuses, kind="audit", shard="1/1"):
    made = FleetReport(kind, "2026-01-01T00:00:00+00:00", shard=shard)
    for number, status in enumerate(statuses):
        name = f"{status}-{shard[0]}{number}"
        record = {"target": name, "status": status, "code": CODES.get(status, 0)}
        made.add({**record, "server": "h:5432", "revision": HEAD})
    made.finish()
    return made


def save(tmp_path, made, name):
    file = tmp_path / name
    file.write_text(json.dumps(made.document()))
    return file


def test_the_worst_comes_first():
    made = report("clean", "findings", "unreachable", "incomplete", "refused")
    assert [r["status"] for r in made.records] == [
        "unreachable",
        "incomplete",
        "refused",
        "findings",
        "clean",
    ]


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["clean"], 0),
        (["clean", "applied"], 0),
        (["clean", "findings"], 1),
        (["findings", "unreachable"], 3),
        (["findings", "incomplete"], 3),
        (["refused", "findings"], 5),
        (["busy", "clean"], 6),
    ],
)
def test_the_exit_code_never_hides_what_was_not_looked_at(statuses, code):
    assert report(*statuses).code == code


def test_more_findings_are_worse():
    made = FleetReport("audit", "")
    for name, number in (("a", 2), ("b", 30), ("c", 5)):
        made.add({"target": name, "status": "findings", "code": 1, "findings": number})
    made.finish()
    assert [r["target"] for r in made.records] == ["b", "c", "a"]


def test_shards_merge_into_the_whole(tmp_path):
    files = [
        save(tmp_path, report("clean", "findings", shard="1/2"), "1.json"),
        save(tmp_path, report("unreachable", shard="2/2"), "2.json"),
    ]
    whole = merge(files)
    assert whole.counts == {"unreachable": 1, "findings": 1, "clean": 1}
    assert (whole.code, whole.shard) == (3, "1/1")
    half = merge(files[:1])
    assert (half.shard, half.missing, half.code) == ("1/2", ["2/2"], 3)


def test_what_does_not_fit_is_not_merged(tmp_path):
    one = save(tmp_path, report("clean"), "1.json")
    other = save(tmp_path, report("clean", kind="status"), "2.json")
    with pytest.raises(UsageError, match="different kinds"):
        merge([one, other])
    with pytest.raises(UsageError, match="two of the reports contain clean-10"):
        merge([one, one])
    other.write_text("[1]")
    with pytest.raises(UsageError, match="is not a fleet report"):
        merge([other])
    with pytest.raises(UsageError, match="cannot read"):
        merge([tmp_path / "none.json"])


def test_the_text_names_what_is_wrong_and_counts_the_rest():
    made = report("clean", "findings", "unreachable")
    made.records[0] |= {"reason": "cannot connect:\x1b[2J refused", "hint": "is it up?"}
    made.records[-1]["revision"] = "0003"
    said = reporter.render(made)
    assert "UNREACHABLE" in said.splitlines()[0]
    assert "\\x1b[2J" in said
    assert f"revisions differ: 1 at 0003, 2 at {HEAD}" in said
    assert said.endswith("3 targets: 1 unreachable, 1 findings, 1 clean. Exit 3.")
    assert "clean-1" not in said
