"""An audit that never began is incomplete everywhere."""

import json

from tests.support.audits import valid


def test_reports_are_written_where_nothing_could_be_reached(sexton, tmp_path):
    places = [
        tmp_path / f"report.{end}" for end in ("json", "xml", "sarif", "prom", "html")
    ]
    options = [part for place in places for part in ("-o", str(place))]
    url = f"host={tmp_path} dbname=gone user=me password=hunter2"
    result = sexton("audit", "--url", url, *options, database=False)
    assert result.code == 4
    document = valid(json.loads(places[0].read_text()))
    assert document["summary"]["status"] == "incomplete"
    assert {c["status"] for c in document["checks"]} == {"incomplete"}
    assert "not looked at: cannot connect" in document["checks"][0]["reason"]
    assert document["run"]["database"] == "gone"
    assert 'sexton_audit_incomplete{database="gone"' in places[3].read_text()
    assert "<error" in places[1].read_text()
    assert not any("hunter2" in place.read_text() for place in places)
