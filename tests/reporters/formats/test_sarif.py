"""SARIF: rules, results and what was not looked at."""

import json

from sexton.reporters.formats import sarif


def test_sarif_says_what_is_new(changed):
    [run] = json.loads(sarif.render(changed))["runs"]
    assert [r["baselineState"] for r in run["results"]] == ["new", "unchanged"]


def test_sarif_declares_all_rules_even_clean_ones(report):
    document = json.loads(sarif.render(report))
    assert document["version"] == "2.1.0"
    [run] = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [o.check.name for o in report.outcomes]
    [result] = run["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "chat_without_model"
    assert result["level"] == "error"
    assert result["partialFingerprints"] == {"sextonFinding/v1": "0" * 32}
    [location] = result["locations"]
    uri = location["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "checks/chat_without_model.py"
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "chats(id=c-1)"


def test_sarif_says_what_was_not_looked_at(report, incomplete):
    def invocation(of):
        [only] = json.loads(sarif.render(of))["runs"][0]["invocations"]
        return only

    assert invocation(report)["executionSuccessful"]
    found = invocation(incomplete)
    assert not found["executionSuccessful"]
    assert found["exitCode"] == 3
    assert [n["level"] for n in found["toolExecutionNotifications"]] == ["note", "error"]
