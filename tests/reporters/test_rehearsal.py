"""A rehearsal in the formats of those who read it."""

import json

import pytest

from sexton.rehearse.document import (
    Acceptance,
    Instead,
    Rehearsal,
    RehearsalFinding,
    RehearsalSummary,
    RehearsedRevision,
)
from sexton.reporters import rehearsal

HOSTILE = "a | b <img src=x> @team `x`\n::error::forged \x1b[31m %0A"


@pytest.fixture
def document():
    def finding(code, severity, line, message, **more):
        return RehearsalFinding(
            code=code,
            severity=severity,
            file="db/a,b:c.py",
            line=line,
            message=message,
            **more,
        )

    small = Acceptance("it is small", "2999-12-31")
    online = Instead(text="op.create_index_online", diff="--- a\n+++ b\n")
    findings = [
        finding("rename", "error", 7, HOSTILE, instead=online),
        finding("table-rewrite", "warning", None, "it rewrites t", accepted=small),
        finding("not-planted", "info", 9, "no row was found"),
    ]
    one = RehearsedRevision(
        revision="4f1c", file="db/a,b:c.py", findings=findings, problem="it fails"
    )
    summary = RehearsalSummary(status="incomplete", exit_code=3, findings=1)
    return Rehearsal(base="main", revisions=[one], summary=summary)


def test_annotations_are_one_line_each_and_forge_nothing(document):
    lines = rehearsal.github(document).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::error", "::notice"]
    assert lines[0] == "::error file=db/a%2Cb%3Ac.py::it fails"
    assert lines[1].startswith("::error file=db/a%2Cb%3Ac.py,line=7,title=sexton: rename::")
    assert "%0A::error::forged \\x1b[31m %250A" in lines[1]
    assert "\x1b" not in "".join(lines)


def test_a_table_of_markdown_stays_one(document):
    text = rehearsal.markdown(document)
    (row,) = [line for line in text.splitlines() if "`rename`" in line]
    assert row.replace("\\|", "").count("|") == 5
    assert r"\<img src=x\> \@team \`x\`<br>::error::forged \\x1b\[31m %0A" in row
    assert (
        "| accepted | `table-rewrite` |  | it rewrites t<br>because it is small |" in text
    )
    assert "````diff\n--- a\n+++ b\n````" in text
    assert "incomplete: it fails" in text


def test_sarif_has_file_line_and_what_is_accepted(document):
    (run,) = json.loads(rehearsal.sarif(document))["runs"]
    rename, rewrite, planted = run["results"]
    place = rename["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "db/a,b:c.py"
    assert place["region"]["startLine"] == 7
    assert [one["level"] for one in run["results"]] == ["error", "warning", "note"]
    assert rewrite["suppressions"] == [{"kind": "inSource", "justification": "it is small"}]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[one["ruleIndex"]] for one in run["results"]] == [
        "rename",
        "table-rewrite",
        "not-planted",
    ]
    assert rename["partialFingerprints"] != planted["partialFingerprints"]
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert invocation["exitCode"] == 3
