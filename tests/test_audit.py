"""Audit: one snapshot, read-only, and truthful about what it could not see."""

import os

import pytest
from psycopg import conninfo

from tests.tools import Cli, add_chat, add_model, add_provider
from toolkit.audit import run_checks, select_checks
from toolkit.database import connect, scalar


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
        assert sexton("audit", "--fail-on", threshold).code == code


def test_information_alone_is_clean(sexton, connection):
    gone = add_model(connection, "openai", deleted=True, deleted_at="now")
    add_chat(connection, gone)
    result = sexton("audit", "--format", "json")
    assert result.code == 0
    assert result.json["summary"]["status"] == "clean"
    assert sexton("audit", "--fail-on", "info").code == 1


def test_incomplete_wins_over_findings(sexton, connection):
    add_model(connection, "openai")
    result = sexton("audit", "--format", "json")
    assert result.code == 3
    assert result.json["summary"]["status"] == "incomplete"


def test_rows_hidden_by_a_policy_are_not_orphans(administrator, connection, url, capfd):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    role = f"auditor_{os.getpid()}"
    administrator.execute(f"create role {role} login password 'x'")
    try:
        connection.execute(f"grant select on all tables in schema public to {role}")
        connection.execute("alter table chat_providers enable row level security")
        auditor = Cli(conninfo.make_conninfo(url, user=role, password="x"), capfd)
        result = auditor("audit", "model_without_provider", "--format", "json")
        [check] = result.json["checks"]
        assert (result.code, check["status"], check["count"]) == (3, "incomplete", 0)
        assert "row-level security" in check["reason"]
    finally:
        connection.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")


def test_a_table_that_may_not_be_read_is_incomplete_and_the_others_go_on(
    administrator, connection, url, capfd
):
    add_provider(connection, "openai")
    role = f"blind_{os.getpid()}"
    administrator.execute(f"create role {role} login password 'x'")
    try:
        connection.execute(
            f"grant select on chat_providers, chat_model_configs, chats to {role}"
        )
        result = Cli(conninfo.make_conninfo(url, user=role, password="x"), capfd)(
            "audit", "--format", "json"
        )
        status = {check["check"]: check["status"] for check in result.json["checks"]}
        assert result.code == 3
        assert status["message_without_model"] == "incomplete"
        assert status["chat_without_model"] == "pass"
    finally:
        connection.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")


def test_all_checks_see_one_snapshot(connection, url):
    """Rows that another connection writes while the audit runs are not seen."""
    from toolkit.audit import audit, begin
    from toolkit.database import snapshot

    add_provider(connection, "openai")
    with connect(url, name="writer") as writer, snapshot(connection):
        begin(connection)
        running = audit(connection, select_checks(["default_missing", "orphaned_default"]))
        assert next(running).status == "pass"
        add_model(writer, "google", is_default=True)
        assert next(running).status == "pass"
    assert run_checks(connection, select_checks(["orphaned_default"]))[1][0].count == 1


def test_fingerprints_are_the_same_in_every_run(sexton, connection):
    add_provider(connection, "openai")
    add_model(connection, "google")

    def fingerprints():
        document = sexton("audit", "model_without_provider", "--format", "json").json
        return [f["fingerprint"] for f in document["checks"][0]["findings"]]

    assert fingerprints() == fingerprints() != []


def test_an_audit_takes_no_transaction_id(connection):
    """Nothing is written without one, not even a row lock."""
    from toolkit.audit import audit, begin
    from toolkit.database import snapshot

    add_provider(connection, "openai")
    add_model(connection, "google")
    with snapshot(connection):
        begin(connection)
        outcomes = list(audit(connection, select_checks([])))
        assert any(outcome.status == "fail" for outcome in outcomes)
        assert scalar(connection, "select pg_current_xact_id_if_assigned()") is None
