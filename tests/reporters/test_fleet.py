"""A fleet's report as text: what is wrong first, what is alike in one line."""

from sexton.fleet.report import FleetReport
from sexton.reporters import fleet as reporter


def report(*records, **more):
    made = FleetReport("audit", "2026-01-01T00:00:00+00:00", **more)
    for record in records:
        made.add({"code": 1, "server": "h:5432", "revision": "0001", **record})
    made.finish()
    return reporter.render(made).splitlines()


def test_targets_that_need_somebody_are_listed_with_what_to_do():
    lines = report(
        {"target": "a", "status": "clean"},
        {
            **{"target": "b\n", "status": "refused", "reason": "no", "hint": "yes"},
        },
        {
            **{"target": "c", "status": "findings", "findings": 2},
            "checks": [{"check": "x", "status": "fail", "count": 2}],
        },
        shard="2/3",
    )
    assert "REFUSED     b\\n (h:5432): no" in lines
    assert "            next: yes" in lines
    assert lines[lines.index("FAIL        c (h:5432)") + 1] == "            x: 2 findings"
    assert not any(" a " in line for line in lines)
    assert lines[-1].startswith("3 targets of shard 2/3: ")


def test_revisions_that_differ_are_set_side_by_side():
    lines = report(
        {"target": "a", "status": "clean"},
        {"target": "b", "status": "clean", "revision": "0002"},
    )
    assert lines[0].startswith("revisions differ: ")
    assert lines[1] == "2 targets: 2 clean. Exit 0."
