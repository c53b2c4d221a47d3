"""JSON is the report's own document."""

import json

from sexton.reporters.formats import json as reporter


def test_the_document_is_the_reports_own(report):
    document = json.loads(reporter.render(report))
    assert document["summary"] == report.document()["summary"]
    assert document["run"]["started_at"].endswith("Z")
    assert reporter.FORMAT.endings == (".json",)
