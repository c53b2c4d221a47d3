"""One snapshot, looked at by who may only read, and never a false line."""

import contextlib
import time
import uuid
from dataclasses import replace

import pytest

from sexton.audit.auditor import _identified, audit
from sexton.audit.outcome import Outcome
from sexton.audit.selection import select_checks
from sexton.database import scalar, snapshot
from sexton.errors import WrongSchema
from sexton.project import all_checks
from tests.support.audits import SLOW, own, run
from tests.support.tools import add_chat, add_model, add_provider, look, second_connection


def test_a_database_without_our_tables_is_no_clean_one(database):
    with (
        contextlib.closing(second_connection(database("empty"))) as connection,
        pytest.raises(WrongSchema),
    ):
        run(connection, "default_missing")


def test_what_commits_during_the_audit_is_not_seen(url, free):
    def watch(what):
        if isinstance(what, Outcome) and what.check.name == "default_missing":
            with contextlib.closing(second_connection(url)) as other:
                add_model(other, "azure")

    outcomes = run(free, "default_missing", "model_without_provider", watch=watch)
    assert outcomes["model_without_provider"].status == "pass"
    assert run(free, "model_without_provider")["model_without_provider"].status == "fail"


def test_an_audit_changes_nothing(free):
    violation = own("writes", "select 1 as n from pg_notify('a', 'b')", ("n",))
    sequence = own("draws", "select nextval('public.chat_messages_id_seq') as n", ("n",))
    outcomes = run(free, violation, sequence, "default_missing")
    assert outcomes["draws"].status == "incomplete"
    assert "read-only" in str(outcomes["draws"].reason)
    assert outcomes["default_missing"].status == "pass"


def test_select_is_enough(reader):
    connection, _ = reader
    outcomes = run(connection, *all_checks())
    drift = outcomes.pop("schema_drift")
    assert "REFERENCES chat_model_configs" in drift.findings[0].message
    assert {o.status for o in outcomes.values()} <= {"pass", "skipped"}, outcomes


def test_the_deadline_ends_everything(free):
    began = time.monotonic()
    late = replace(SLOW, module="tests.late")
    outcomes = run(free, "default_missing", SLOW, late, deadline=0.3)
    assert time.monotonic() - began < 30  # the slow one sleeps that long by itself
    assert outcomes["default_missing"].status == "pass"
    for name in ("slow", "late"):
        assert outcomes[name].status == "incomplete"
        assert outcomes[name].reason == "the deadline of 0.3 s had passed"


def test_samples_are_the_first_by_key(free):
    for _ in range(20):
        add_chat(free, uuid.uuid4())
    first = [f.key for f in look(free, "chat_without_model", sample=3).findings]
    again = [f.key for f in look(free, "chat_without_model", sample=3).findings]
    every = [f.key for f in look(free, "chat_without_model", sample=100).findings]
    assert first == again == every[:3]
    assert every == sorted(every, key=lambda key: key["id"])


def test_the_audit_that_repair_starts_from_looks_once(free):
    lost = add_chat(free, uuid.uuid4())
    with snapshot(free):
        [outcome] = audit(free, select_checks(["chat_without_model"]))
    assert [finding.key["id"] for finding in outcome.findings] == [str(lost)]


def test_an_audit_takes_no_transaction_id(connection):
    """Nothing is written without one, not even a row lock."""
    add_provider(connection, "openai")
    add_model(connection, "google")
    with snapshot(connection):
        outcomes = audit(connection, select_checks([]))
        assert any(outcome.status == "fail" for outcome in outcomes)
        assert scalar(connection, "select pg_current_xact_id_if_assigned()") is None


def test_a_role_that_may_not_read_the_cluster_audits_all_the_same(sexton, clean, url):
    assert sexton("audit", "--format", "json").json["head"]["system"].isdigit()
    clean.execute(
        "revoke execute on function pg_control_system() from public;"
        "create role sexton_reader; grant select on all tables in schema public"
        " to sexton_reader; grant pg_read_all_stats to sexton_reader"
    )
    try:
        clean.execute("set role sexton_reader")
        found = _identified(clean)
    finally:
        clean.execute("reset role; drop owned by sexton_reader; drop role sexton_reader")
        clean.execute("grant execute on function pg_control_system() to public")
    assert "snapshot" in found
    assert found.get("system") is None
