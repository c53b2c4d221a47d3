"""What may not be read is told from what is not there."""

from tests.support.audits import own, run


def test_a_schema_that_may_not_be_entered_hides_nothing(free, reader):
    connection, role = reader
    free.execute(f"revoke usage on schema sexton from {role}")
    outcome = run(connection, "schema_drift")["schema_drift"]
    assert outcome.status == "incomplete"
    assert "permission denied for table sexton.alembic_version" in str(outcome.reason)
    for grant in str(outcome.reason).partition(": ")[2].split("; "):
        free.execute(grant)
    assert run(connection, "schema_drift")["schema_drift"].status == "fail"


def test_where_no_revision_is_recorded_what_recognises_it_is_named(free):
    free.execute("drop table sexton.alembic_version")
    outcome = run(free, "schema_drift")["schema_drift"]
    assert outcome.status == "skipped"
    assert "; sexton adopt recognises such a database" in str(outcome.reason)


def test_a_schema_of_the_path_that_may_not_be_entered_hides_nothing(free, reader):
    connection, _ = reader
    free.execute("create schema apart; create table apart.own (id int primary key)")
    connection.execute('set search_path = "$user", public, apart')
    check = own("mine", "select id from own", ("id",), reads={"own": ("id",)})
    assert "there is no table" in str(run(free, check)["mine"].reason)
    outcome = run(connection, check)["mine"]
    assert outcome.status == "incomplete"
    for grant in str(outcome.reason).partition(": ")[2].split("; "):
        free.execute(grant)
    assert run(connection, check)["mine"].status == "pass"


def test_what_is_absent_is_one_list(free):
    free.execute("drop table if exists chat_debug_runs, chat_queued_messages, user_configs")
    scope = run(free, "tombstone_unreferenced")["tombstone_unreferenced"].scope
    absent = scope.partition(", absent: ")[2].split(", ")
    assert {"chat_debug_runs", "chat_queued_messages", "user_configs"} <= set(absent)


def test_a_role_needs_only_the_columns_that_a_check_reads(free, reader):
    connection, role = reader
    free.execute(f"revoke select on chat_providers from {role}")
    free.execute(f"grant select (provider, enabled) on chat_providers to {role}")
    outcomes = run(connection, "model_without_provider", "provider_key_policy")
    assert outcomes["model_without_provider"].status == "pass"
    assert outcomes["provider_key_policy"].status == "incomplete"
    assert 'grant select on table "public"."chat_providers"' in str(
        outcomes["provider_key_policy"].reason
    )


def test_a_lacking_permission_is_incomplete_and_the_others_go_on(free, reader):
    connection, role = reader
    free.execute(f"revoke select on chat_messages from {role}")
    outcomes = run(connection, "message_without_model", "default_missing", recheck=True)
    assert outcomes["message_without_model"].status == "incomplete"
    assert "permission denied" in str(outcomes["message_without_model"].reason)
    assert outcomes["default_missing"].status == "pass"
