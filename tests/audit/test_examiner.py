"""What cannot be believed or looked at is incomplete, and harms no other check."""

import os

from psycopg import conninfo

from sexton.audit import units
from sexton.check import Check, Severity
from tests.support.audits import model_of, run
from tests.support.tools import Cli, add_chat, add_model, add_provider


def test_parents_hidden_by_a_policy_make_no_orphans(free, reader):
    connection, _ = reader
    add_chat(free, model_of(free))
    free.execute("alter table chat_model_configs enable row level security")
    outcome = run(connection, "chat_without_model")["chat_without_model"]
    assert outcome.status == "incomplete"
    assert "row-level security" in str(outcome.reason)


def test_one_bad_check_does_not_spoil_the_scan_it_shares(broken, monkeypatch):
    monkeypatch.setattr(units, "LARGE", 0)
    bad = Check(
        "tests.bad",
        severity=Severity.ERROR,
        table="chat_messages",
        key=("id",),
        message="message {id}",
        where="1 / (this.id - this.id) = 1",
    )
    outcomes = run(broken, bad, "priced_message_without_model")
    assert outcomes["bad"].status == "incomplete"
    assert "division by zero" in str(outcomes["bad"].reason)
    assert outcomes["priced_message_without_model"].count > 0


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
            *("audit", "--recheck", "--format", "json")
        )
        status = {check["check"]: check["status"] for check in result.json["checks"]}
        assert result.code == 3
        assert status["message_without_model"] == "incomplete"
        assert status["chat_without_model"] == "pass"
    finally:
        connection.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")
