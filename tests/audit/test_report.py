"""What the outcomes amount to, in the document and the exit code."""

import pytest

from tests.support.tools import add_chat, add_model, add_provider


def test_the_document_has_the_promised_keys(sexton, connection):
    add_provider(connection, "openai")
    add_model(connection, "google")
    document = sexton("audit", "--format", "json").json
    assert set(document) >= {"schema_version", "run", "summary", "checks"}
    assert set(document["run"]) >= {
        *("id", "tool_version", "started_at", "finished_at", "database"),
        *("server_version", "revision", "snapshot"),
    }
    assert set(document["summary"]) >= {
        *("status", "passed", "failed", "incomplete", "skipped", "findings"),
    }
    for check in document["checks"]:
        assert set(check) >= {
            *("check", "severity", "status", "reason", "strategy", "count", "count_is"),
            *("known", "findings", "truncated", "elapsed_ms", "repair"),
        }
        for finding in check["findings"]:
            assert set(finding) == {"table", "key", "message", "values", "fingerprint"}


@pytest.mark.parametrize(
    ("columns", "codes"),
    [
        ({"provider": "google"}, {"info": 1, "warning": 1, "error": 1, "never": 0}),
        (
            {"provider": "openai", "is_default": True, "enabled": False},
            {"info": 1, "warning": 1, "error": 0, "never": 0},
        ),
    ],
)
def test_fail_on_decides_the_exit_code(sexton, connection, columns, codes):
    add_provider(connection, "openai")
    add_model(connection, **{"provider": "openai", **columns})
    for threshold, code in codes.items():
        assert sexton("audit", "--confirm-after", "0", "--fail-on", threshold).code == code


def test_information_alone_is_a_finding_that_exits_0(sexton, connection):
    add_provider(connection, "openai", api_key="sk-made-up")
    add_model(connection, "openai", is_default=True)
    gone = add_model(connection, "openai", deleted=True, deleted_at="now")
    add_chat(connection, gone)
    result = sexton("audit", "--format", "json")
    assert result.code == 0
    assert result.json["summary"]["status"] == "findings"
    assert sexton("audit", "--fail-on", "info").code == 1


def test_incomplete_wins_over_findings(sexton, connection):
    add_model(connection, "openai")
    result = sexton("audit", "--format", "json")
    assert result.code == 3
    assert result.json["summary"]["status"] == "incomplete"
