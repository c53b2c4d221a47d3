"""One truth, bounded, and never a false line."""

import contextlib
import os
import threading
import time
import uuid
from dataclasses import replace

import pytest
from psycopg import conninfo

from sexton.audit import confirm, references, units
from sexton.audit.auditor import audit, run_checks
from sexton.audit.outcome import Options, Outcome
from sexton.audit.selection import select_checks
from sexton.chat.sample import populate
from sexton.check import Check, Reference, Severity
from sexton.database import connect, scalar, snapshot
from sexton.errors import UsageError, WrongSchema
from sexton.project import all_checks
from tests.support.tools import (
    Cli,
    add_chat,
    add_message,
    add_model,
    add_provider,
    look,
    second_connection,
)

FREE = "alter table chats drop constraint chats_last_model_config_id_fkey"


def own(name, find, key=(), **more):
    """A check of our own, for what a real one does not do on demand."""
    declared = {"message": "found", "table": "chats", "severity": Severity.ERROR, **more}
    return Check(f"tests.{name}", key=key, find=find, **declared)


def run(connection, *names_or_checks, connect=None, watch=lambda _: None, **options):
    """Run checks by name or of our own; return the outcomes by name."""
    checks = [
        all_checks()[check] if isinstance(check, str) else check
        for check in names_or_checks
    ]
    _, outcomes = run_checks(
        connection, checks, Options(**options), connect=connect, watch=watch
    )
    return {outcome.check.name: outcome for outcome in outcomes}


@pytest.fixture
def free(connection):
    """A database without the key from chats to models, with one model in it."""
    connection.execute(FREE)
    add_provider(connection, "openai", api_key="sk-made-up")
    add_model(connection, "openai", is_default=True)
    return connection


def model_of(connection):
    return scalar(connection, "select id from chat_model_configs limit 1")


# -- selection -------------------------------------------------------------------------


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="there is no check 'x'"):
        select_checks(["default_missing", "x"])


def test_a_name_given_twice_is_looked_at_once():
    assert len(select_checks(["default_missing", "default_missing"])) == 1


def test_a_database_without_our_tables_is_no_clean_one(database):
    with (
        contextlib.closing(second_connection(database("empty"))) as connection,
        pytest.raises(WrongSchema),
    ):
        run(connection, "default_missing")


# -- one snapshot ----------------------------------------------------------------------


def test_all_connections_see_one_snapshot(url, connection):
    checks = [
        own(f"seen_{n}", "select 'x' || pg_current_snapshot()::text as seen", ("seen",))
        for n in range(6)
    ]
    met = threading.Barrier(3, timeout=30)
    workers: set[int] = set()

    def commit():
        with contextlib.closing(second_connection(url)) as other:
            add_provider(other, "openai")

    def watch(what):
        # Each connection takes its first check, and a commit comes between the looks.
        me = threading.get_ident()
        if isinstance(what, Outcome) and me not in workers:
            workers.add(me)
            if met.wait() == 0:
                commit()

    outcomes = run(
        connection, *checks, connect=lambda: second_connection(url), watch=watch, jobs=3
    )
    seen = {outcome.findings[0].key["seen"] for outcome in outcomes.values()}
    assert len(workers) == 3
    assert len(seen) == 1


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


# -- incomplete is never pass ----------------------------------------------------------


@pytest.fixture
def reader(url, free):
    """A role with SELECT on our tables and nothing else."""
    role = f"reader_{uuid.uuid4().hex[:8]}"
    free.execute(f"create role {role} login password 'made-up'")
    free.execute(f"grant usage on schema sexton to {role}")
    free.execute(f"grant select on all tables in schema public, sexton to {role}")
    address = conninfo.make_conninfo(url, user=role, password="made-up")
    with contextlib.closing(connect(address, name="tests")) as opened:
        yield opened, role
    free.execute(f"drop owned by {role}")
    free.execute(f"drop role {role}")


def test_select_is_enough(reader):
    connection, _ = reader
    outcomes = run(connection, *all_checks())
    drift = outcomes.pop("schema_drift")
    assert "REFERENCES chat_model_configs" in drift.findings[0].message
    assert {o.status for o in outcomes.values()} <= {"pass", "skipped"}, outcomes


def test_a_schema_that_may_not_be_entered_hides_nothing(free, reader):
    connection, role = reader
    free.execute(f"revoke usage on schema sexton from {role}")
    outcome = run(connection, "schema_drift")["schema_drift"]
    assert outcome.status == "incomplete"
    assert "permission denied for table sexton.alembic_version" in str(outcome.reason)
    for grant in str(outcome.reason).partition(": ")[2].split("; "):
        free.execute(grant)
    assert run(connection, "schema_drift")["schema_drift"].status == "fail"


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


def test_parents_hidden_by_a_policy_make_no_orphans(free, reader):
    connection, _ = reader
    add_chat(free, model_of(free))
    free.execute("alter table chat_model_configs enable row level security")
    outcome = run(connection, "chat_without_model")["chat_without_model"]
    assert outcome.status == "incomplete"
    assert "row-level security" in str(outcome.reason)


SLOW = own("slow", "select 1 as n from pg_sleep(30)", ("n",))


def test_a_statement_that_takes_too_long_is_incomplete(free):
    outcomes = run(free, SLOW, "default_missing", statement_timeout=0.1)
    assert outcomes["slow"].reason == "stopped after 0.1 s, its timeout"
    assert outcomes["default_missing"].status == "pass"


def test_the_deadline_ends_everything(free):
    began = time.monotonic()
    late = replace(SLOW, module="tests.late")
    outcomes = run(free, "default_missing", SLOW, late, deadline=0.3)
    assert time.monotonic() - began < 10
    assert outcomes["default_missing"].status == "pass"
    for name in ("slow", "late"):
        assert outcomes[name].status == "incomplete"
        assert outcomes[name].reason == "the deadline of 0.3 s had passed"


def test_a_locked_table_is_not_waited_for(url, free):
    with contextlib.closing(second_connection(url)) as other, other.transaction():
        other.execute("lock table chat_messages in access exclusive mode")
        outcomes = run(free, "priced_message_without_model", "default_missing")
    assert outcomes["priced_message_without_model"].status == "incomplete"
    assert "lock timeout" in str(outcomes["priced_message_without_model"].reason)
    assert outcomes["default_missing"].status == "pass"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_connection_that_breaks_leaves_a_truthful_report(url, free, jobs):
    def watch(what):
        if isinstance(what, str) and what == "default_disabled":
            with contextlib.closing(second_connection(url)) as other:
                other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name like 'sexton audit %'"
                )

    outcomes = run(
        free,
        *("default_missing", "default_disabled", "no_live_model"),
        connect=lambda: second_connection(url),
        watch=watch,
        jobs=jobs,
    )
    assert outcomes["default_missing"].status in ("pass", "incomplete")
    assert "incomplete" in {outcome.status for outcome in outcomes.values()}
    assert all(o.reason for o in outcomes.values() if o.status == "incomplete")


def test_of_a_team_one_may_break_and_the_others_look_twice(url, free):
    add_chat(free, uuid.uuid4())
    worker = second_connection(url)
    both = threading.Barrier(2)

    def watch(what):
        if isinstance(what, str) and what.startswith("slow") and both.wait(10) == 0:
            killer.start()

    def kill():
        with contextlib.closing(second_connection(url)) as other:
            other.execute("select pg_terminate_backend(%s)", (worker.info.backend_pid,))

    killer = threading.Timer(0.2, kill)
    sleep = "select n from generate_series(1, 1) n where length(pg_sleep(0.6)::text) > n"
    slow = [own(name, sleep, ("n",)) for name in ("slow_1", "slow_2")]
    outcomes = run(
        *(free, *slow, "chat_without_model"),
        connect=lambda: worker,
        watch=watch,
        jobs=2,
        confirm_after=0.1,
    )
    killer.join()
    assert sorted(outcomes[check.name].status for check in slow) == ["incomplete", "pass"]
    assert outcomes["chat_without_model"].status == "fail"


# -- two looks -------------------------------------------------------------------------


def test_a_writer_at_work_is_no_finding(url, free):
    model = uuid.uuid4()
    add_chat(free, model)
    lost = add_chat(free, uuid.uuid4())

    def watch(what):
        if isinstance(what, Outcome) and what.count == 2:
            # The writer commits the parent after the child.
            with contextlib.closing(second_connection(url)) as other:
                add_model(other, "openai", id=model)

    outcome = run(free, "chat_without_model", watch=watch, confirm_after=0.01)[
        "chat_without_model"
    ]
    assert (outcome.count, outcome.count_is) == (1, "exact")
    assert [finding.key["id"] for finding in outcome.findings] == [str(lost)]
    assert "1 more was gone at the second look" in str(outcome.reason)


def test_where_all_were_writers_at_work_the_check_passes(url, free):
    chat = add_chat(free, uuid.uuid4())

    def watch(what):
        if isinstance(what, Outcome) and what.count:
            with contextlib.closing(second_connection(url)) as other:
                other.execute("delete from chats where id = %s", [chat])

    outcome = run(free, "chat_without_model", watch=watch, confirm_after=0.01)[
        "chat_without_model"
    ]
    assert (outcome.status, outcome.count) == ("pass", 0)


def test_what_is_new_at_the_second_look_is_left_to_the_next_audit(url, free):
    first = add_chat(free, uuid.uuid4())

    def watch(what):
        if isinstance(what, Outcome) and what.count == 1:
            with contextlib.closing(second_connection(url)) as other:
                add_chat(other, uuid.uuid4())

    outcome = run(free, "chat_without_model", watch=watch, confirm_after=0.01)[
        "chat_without_model"
    ]
    assert [finding.key["id"] for finding in outcome.findings] == [str(first)]


def test_settings_are_looked_at_twice_as_well(upstream):
    upstream.execute("insert into site_configs values ('agents_advisor_config', '{')")
    add_provider(upstream, "openai")
    add_model(upstream, "openai")

    def watch(what):
        if isinstance(what, Outcome) and what.count:
            upstream_url = upstream.info.dsn
            with contextlib.closing(second_connection(upstream_url)) as other:
                other.execute("update site_configs set value = '{}'")

    outcome = run(upstream, "advisor_dangling", watch=watch, confirm_after=0.01)[
        "advisor_dangling"
    ]
    assert outcome.status == "pass"
    assert "writer at work" in str(outcome.reason)


def test_what_could_not_be_looked_at_again_is_incomplete(free, reader):
    connection, role = reader
    add_chat(free, uuid.uuid4())
    add_model(free, "azure")

    def watch(what):
        if isinstance(what, Outcome) and what.count:
            free.execute(f"revoke select on chats from {role}")

    names = ("chat_without_model", "model_without_provider")
    outcomes = run(connection, *names, watch=watch, confirm_after=0.01)
    assert outcomes["chat_without_model"].status == "incomplete"
    assert outcomes["chat_without_model"].reason == (
        "seen once, not confirmed by a second look: permission denied for table chats"
    )
    assert outcomes["model_without_provider"].status == "fail"


def test_eight_writers_make_no_orphan(url, free):
    """Each inserts the child 50 ms before its parent, as a real writer might."""
    free.execute("create index on chats (owner_id)")
    lost = {str(add_chat(free, uuid.uuid4())) for _ in range(7)}
    stop = threading.Event()

    def write():
        with contextlib.closing(second_connection(url)) as other:
            while not stop.is_set():
                model = uuid.uuid4()
                add_chat(other, model)
                stop.wait(0.05)
                add_model(other, "openai", str(model), id=model)

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(5):
            outcome = run(free, "chat_without_model", confirm_after=0.5, sample=50)[
                "chat_without_model"
            ]
            assert {finding.key["id"] for finding in outcome.findings} == lost
    finally:
        stop.set()
        for writer in writers:
            writer.join()


# -- bounded ---------------------------------------------------------------------------


def test_many_findings_are_counted_but_not_kept(free, monkeypatch):
    free.execute(
        "insert into chats (owner_id, last_model_config_id) "
        "select gen_random_uuid(), gen_random_uuid() from generate_series(1, 3000)"
    )
    once = look(free, "chat_without_model", sample=2)
    assert (once.count, once.count_is, len(once.findings)) == (3000, "exact", 2)
    assert once.truncated
    monkeypatch.setattr(confirm, "LIMIT", 100)
    twice = run(free, "chat_without_model", sample=2, confirm_after=0.01)[
        "chat_without_model"
    ]
    assert (twice.count, twice.count_is, len(twice.findings)) == (100, "at_least", 2)
    assert "3,000 at the first look; 100 of them looked at twice" in str(twice.reason)


def test_samples_are_the_first_by_key(free):
    for _ in range(20):
        add_chat(free, uuid.uuid4())
    first = [f.key for f in look(free, "chat_without_model", sample=3).findings]
    again = [f.key for f in look(free, "chat_without_model", sample=3).findings]
    every = [f.key for f in look(free, "chat_without_model", sample=100).findings]
    assert first == again == every[:3]
    assert every == sorted(every, key=lambda key: key["id"])


# -- the same findings, however they are found -----------------------------------------


@pytest.fixture
def broken(free):
    """Sample data with a violation of most kinds in it."""
    free.execute("delete from chat_model_configs")
    free.execute("delete from chat_providers")
    free.execute(
        "alter table chat_messages drop constraint chat_messages_model_config_id_fkey"
    )
    populate(free, chats=300, messages=2)
    free.execute("update chat_model_configs set deleted = true where provider = 'azure'")
    free.execute("update chat_model_configs set deleted_at = '2020-01-01' where deleted")
    free.execute("update chat_model_configs set provider = 'OpenAI' where model = 'o3'")
    free.execute(
        "update chats set last_model_config_id = gen_random_uuid() where title like '%7'"
    )
    free.execute(
        "update chat_messages set model_config_id = gen_random_uuid() where id % 9 = 0"
    )
    free.execute(
        "update chat_messages set model_config_id = null where id % 7 = 0 and id % 9 > 0"
    )
    free.execute("analyze")
    return free


def by_check(outcomes):
    return {
        name: (
            o.status,
            o.count,
            [(f.fingerprint, f.message, f.values) for f in o.findings],
        )
        for name, o in outcomes.items()
    }


def test_a_shared_scan_finds_what_each_check_finds_alone(broken, monkeypatch):
    options = {"sample": 1000, "confirm_after": 0, "recheck": True}
    alone = run(broken, *all_checks(), **options)
    monkeypatch.setattr(units, "LARGE", 0)
    shared = run(broken, *all_checks(), **options)
    assert by_check(shared) == by_check(alone)
    together = {name for name, o in shared.items() if o.strategy == "shared scan"}
    assert {
        "message_without_model",
        "priced_message_without_model",
        "message_after_deletion",
    } <= together
    assert all(alone[name].count for name in together if "message" in name)


@pytest.mark.parametrize("strategy", references.QUERIES)
def test_fingerprints_do_not_depend_on_the_strategy(broken, monkeypatch, strategy):
    options = {"sample": 1000, "confirm_after": 0}
    expected = by_check(run(broken, "chat_without_model", **options))
    choose = references.choose

    def chosen(check, known):
        return replace(choose(check, known), strategy=strategy)

    monkeypatch.setattr(references, "choose", chosen)
    outcomes = run(broken, "chat_without_model", **options)
    assert outcomes["chat_without_model"].strategy == strategy
    assert by_check(outcomes) == expected


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


def test_composite_keys_are_told_whole(free):
    free.execute("create table a (x int, y text, ref int, primary key (x, y))")
    free.execute("create table b (id int primary key)")
    free.execute("insert into b values (1)")
    free.execute("insert into a values (1, 'p', 1), (2, '%s', 5), (2, 'r', 6)")
    check = Check(
        "tests.a_without_b",
        severity=Severity.ERROR,
        table="a",
        key=("x", "y"),
        message="a ({x}, {y}) names b {ref}",
        reference=Reference("ref", "b", "id"),
    )
    outcome = run(free, check, confirm_after=0.01)["a_without_b"]
    assert [f.key for f in outcome.findings] == [{"x": 2, "y": "%s"}, {"x": 2, "y": "r"}]
    assert outcome.findings[0].message == "a (2, %s) names b 5"


def test_the_audit_that_repair_starts_from_looks_once(free):
    lost = add_chat(free, uuid.uuid4())
    with snapshot(free):
        [outcome] = audit(free, select_checks(["chat_without_model"]))
    assert [finding.key["id"] for finding in outcome.findings] == [str(lost)]


def test_a_reference_from_messages_says_which_message(broken):
    chat = scalar(broken, "select id from chats limit 1")
    message = add_message(broken, chat, uuid.uuid4())
    outcome = look(broken, "message_without_model", sample=1000)
    assert message in [finding.key["id"] for finding in outcome.findings]


# -- the command ----------------------------------------------------------------------


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
    add_provider(connection, "openai", api_key="sk-made-up")
    add_model(connection, "openai", is_default=True)
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
            *("audit", "--recheck", "--format", "json")
        )
        status = {check["check"]: check["status"] for check in result.json["checks"]}
        assert result.code == 3
        assert status["message_without_model"] == "incomplete"
        assert status["chat_without_model"] == "pass"
    finally:
        connection.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")


def test_fingerprints_are_the_same_in_every_run(sexton, connection):
    add_provider(connection, "openai")
    add_model(connection, "google")

    def fingerprints():
        document = sexton("audit", "model_without_provider", "--format", "json").json
        return [f["fingerprint"] for f in document["checks"][0]["findings"]]

    assert fingerprints() == fingerprints() != []


def test_an_audit_takes_no_transaction_id(connection):
    """Nothing is written without one, not even a row lock."""
    add_provider(connection, "openai")
    add_model(connection, "google")
    with snapshot(connection):
        outcomes = audit(connection, select_checks([]))
        assert any(outcome.status == "fail" for outcome in outcomes)
        assert scalar(connection, "select pg_current_xact_id_if_assigned()") is None
