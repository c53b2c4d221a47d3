"""A writer at work is no finding: what is found is looked at twice."""

import contextlib
import threading
import uuid

import psycopg
import pytest
from psycopg import conninfo

from sexton.audit import confirm
from sexton.audit.outcome import Outcome
from sexton.check import Check, Reference, Severity
from sexton.database import connect
from tests.support.audits import run
from tests.support.tools import add_chat, add_model, add_provider, look, second_connection


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


PARENT = "create table parent (key int primary key); insert into parent values (1)"


def dangling(key, table="child", name="found"):
    """A check of our own: a child of any key that names no parent."""
    return Check(
        f"tests.{name}",
        severity=Severity.ERROR,
        table=table,
        key=key,
        message="found",
        reference=Reference("ref", "parent", "key"),
    )


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("id int unique", ["null", "null", "7"]),
        ("id int, b int, unique (id, b)", ["1, null", "null, 1", "null, null", "1, 1"]),
        ("id float8", ["0.1::float8 + 0.2::float8", "'NaN'", "'Infinity'", "-0.0"]),
        ("id float4", ["0.1::float4", "1e-7::float4"]),
        ("id numeric", ["123456789012345678901234567890.5", "1.10", "'NaN'", "1e400"]),
        ("id text", ["''", "' x '", "E'\\\\''\\n'", "'%s'"]),
        ("id char(5)", ["'a'", "'b  '"]),
        ("id bytea", ["'\\xff00'"]),
        ("id interval", ["'1 mon -3 days'", "'25:00'", "'-1 year 2 days 3.000001 s'"]),
        ("id timestamptz", ["'infinity'", "'0044-03-15 BC'", "'2026-03-29 02:30:00.1+01'"]),
        ("id date", ["'infinity'", "'0044-03-15 BC'"]),
        ("id money", ["12.34"]),
        ("id int[]", ["'{1,null}'", "'{}'"]),
        ("id int4range", ["'[1,5)'", "'empty'"]),
        ("id jsonb", ["'null'", "'{\"a\": [1.50]}'"]),
        ("id bit(3)", ["B'101'"]),
        ("id inet", ["'10.0.0.1/8'"]),
        ("id regclass", ["'parent'"]),
        ('id "char"', ["'x'"]),
        ("id int[], line int", ["'{1}', 2", "null, null"]),
        ("id ltree", ["'a.b'"]),
        ("id citext", ["'A'", "'a'", "null"]),
    ],
)
@pytest.mark.parametrize("digits", ["0", "1"])
def test_no_finding_is_lost_for_its_key(database, columns, values, digits):
    """Under settings of the role or database that show values in part."""
    url = conninfo.make_conninfo(
        database("empty"),
        options=f"-c extra_float_digits={digits} -c datestyle=SQL,DMY "
        "-c intervalstyle=sql_standard -c bytea_output=escape",
    )
    names = tuple(
        column.split()[0]
        for column in columns.split(", ")
        if not column.startswith(("unique", "b)"))
    )
    with contextlib.closing(psycopg.connect(url, autocommit=True)) as other:
        if extension := {"ltree", "citext"} & set(columns.split()):
            other.execute(f"create extension {extension.pop()}")
        other.execute(f"{PARENT}; create table child (ref int, {columns})")
        for value in values:
            other.execute(f"insert into child values (99, {value})")
    with contextlib.closing(connect(url, name="tests")) as connection:
        outcome = run(connection, dangling(names), confirm_after=0.01)["found"]
        assert (outcome.status, outcome.count) == ("fail", len(values)), outcome.reason
        connection.execute("delete from child")

        def watch(what):
            if isinstance(what, Outcome) and what.count:
                with contextlib.closing(psycopg.connect(url, autocommit=True)) as other:
                    other.execute("update child set ref = null where ref = 98")

        connection.execute(f"insert into child values (98, {values[0]})")
        outcome = run(connection, dangling(names), watch=watch, confirm_after=0.01)["found"]
        # Dropped where the key finds the row, else kept: never a pass without evidence.
        assert outcome.count == 0 or "no key finds the row" in outcome.reason
        assert (outcome.count > 0) == ("no key finds the row" in (outcome.reason or ""))


def test_of_rows_with_the_same_key_as_many_go_as_have_gone(url, connection):
    connection.execute(f"{PARENT}; create table child (id int, ref int)")
    connection.execute("insert into child values (null, 8), (null, 9), (null, 9), (1, 9)")

    def watch(what):
        if isinstance(what, Outcome) and what.count == 4:
            with contextlib.closing(second_connection(url)) as other:
                other.execute("insert into parent values (8)")

    outcome = run(connection, dangling(("id",)), watch=watch, confirm_after=0.01)["found"]
    assert (outcome.status, outcome.count) == ("fail", 3)
    assert "1 more was gone at the second look" in str(outcome.reason)


def test_of_keys_that_look_alike_the_one_not_found_again_stays(url, connection):
    connection.execute(f"{PARENT}; create table child (id float8, ref int)")
    connection.execute("set extra_float_digits = 0")
    connection.execute("insert into child values (0.1::float8 + 0.2::float8, 8), (0.3, 9)")

    def watch(what):
        if isinstance(what, Outcome) and what.count == 2:
            with contextlib.closing(second_connection(url)) as other:
                other.execute("insert into parent values (9)")

    outcome = run(connection, dangling(("id",)), watch=watch, confirm_after=0.01)["found"]
    assert (outcome.status, outcome.count) == ("fail", 1)
