"""What the journal and a plan may not do, whoever wrote them."""

import json

import pytest

from sexton import journal
from sexton.database import rows, scalar
from sexton.errors import Refused
from sexton.repair import trust
from sexton.repair.apply import apply_plan
from sexton.repair.plan import Action, Plan
from sexton.repair.planfile import read_plan
from sexton.repair.undo import undo_run
from tests.support.repairs import incident, planned, whole
from tests.support.tools import add_model, second_connection

EVIL = (
    "chats t using d where false returning d.step, d.why, d.key, null::jsonb as before, "
    "null::jsonb as after), evil as (update chat_providers set display_name = 'owned'), "
    "e2 as (delete from chats t using d where false --"
)


@pytest.fixture
def app(connection, url):
    """A connection of a role that may write the journal, and read the product's tables."""
    connection.execute(
        """
        create role sexton_app login;
        grant usage on schema sexton, public to sexton_app;
        grant select, insert on all tables in schema sexton to sexton_app;
        grant select on all tables in schema public to sexton_app;
        """
    )
    opened = second_connection(url)
    opened.execute("set session authorization sexton_app")
    yield opened
    opened.close()
    connection.execute("drop owned by sexton_app; drop role sexton_app")


@pytest.fixture
def made(connection):
    """A plan that was made, in run 1."""
    incident(connection)
    plan = planned(connection)
    apply_plan(connection, plan)
    return plan


@pytest.mark.parametrize("table", [EVIL, "pg_authid", "users", "chat_model_configs"])
def test_a_row_added_to_somebody_else_s_run_is_refused(connection, made, app, table):
    del made
    app.execute(
        "insert into sexton.changes "
        "(run, step, table_name, key, before, after, role, txid) "
        "select 1, 99, %s, '{}', '{}', '{}', role, txid from sexton.runs",
        (table,),
    )
    before = whole(connection)
    with pytest.raises(Refused, match="step 99 of run 1 was not written by that run"):
        undo_run(connection, 1)
    assert whole(connection) == before


@pytest.mark.parametrize("name", [EVIL, "pg_authid", "chat_debug_runs; drop table chats"])
def test_a_table_that_nothing_declares_is_refused(connection, made, name):
    del made
    connection.execute("update sexton.changes set table_name = %s", (name,))
    before = whole(connection)
    with pytest.raises(Refused, match="nothing that is declared here changes that table"):
        undo_run(connection, 1)
    assert whole(connection) == before


def test_a_column_that_nothing_declares_is_refused(connection, made):
    del made
    connection.execute(
        """
        update sexton.changes set table_name = 'chats', key = '{"id": "a"}',
            before = '{"title": "a"}', after = '{"title": "b"}'
        """
    )
    with pytest.raises(Refused, match="changes that column"):
        undo_run(connection, 1)


def test_a_run_of_a_role_that_may_not_write_its_tables_is_refused(connection, made, app):
    del made
    app.execute(
        """
        insert into sexton.runs (kind, actor, os_user) values ('repair', 'dba', 'dba');
        insert into sexton.changes (run, step, table_name, key, before, after)
        select max(r.run), 1, 'chat_providers', to_jsonb(p.*) - 'x',
            '{"base_url": "https://evil"}', '{"base_url": ""}'
        from sexton.runs r, (select id from chat_providers limit 1) p group by p.*
        """
    )
    with pytest.raises(
        Refused, match="recorded by the role sexton_app, which may not"
    ) as error:
        undo_run(connection, 2)
    assert "--allow-writer" in error.value.hint
    assert scalar(connection, "select max(base_url) from chat_providers") == ""


def test_a_role_s_own_run_is_believed_whatever_it_may_do_by_now(connection, made, app):
    del made
    oid = scalar(connection, "select 'chat_model_configs'::regclass::oid")
    touched = {"oid": oid, "inserted": False, "deleted": True, "changed": [], "allowed": ()}
    run = {"run": 1, "role": "sexton_app"}
    assert trust.writer_limit(app, run, [touched], ()) == []
    [limit] = trust.writer_limit(connection, run, [touched], ())
    assert "sexton_app, which may not delete from chat_model_configs" in limit.saw


def test_a_planted_run_does_not_make_a_plan_look_applied(connection, app, sexton):
    incident(connection)
    with connection.transaction():
        journal.begin_run(connection, "test")
    connection.execute("grant select, insert on all tables in schema sexton to sexton_app")
    plan = planned(connection)
    app.execute(
        "insert into sexton.runs (kind, actor, os_user, plan, options, at) values "
        "('repair', 'dba', 'dba', %s, %s, 'infinity')",
        (plan.id, json.dumps({"digest": plan.digest})),
    )
    with pytest.raises(Refused, match="the role sexton_app wrote it"):
        apply_plan(connection, plan)
    assert sexton("history").code == 0


def crafted(plan, *actions):
    return Plan(
        id=plan.id,
        database=plan.database,
        revision=plan.revision,
        made_at=plan.made_at,
        expires_at=plan.expires_at,
        tables={
            **plan.tables,
            **{a.table: {"schema": "public", "oid": 1} for a in actions},
        },
        options=plan.options,
        actions=list(actions),
    )


@pytest.mark.parametrize(
    "action",
    [
        Action("model_without_provider", "chats", {"id": 1}, {"title": ["", "x"]}, ""),
        Action("model_without_provider", EVIL, {"id": 1}, {"deleted": [False, True]}, ""),
        Action(
            "model_without_provider",
            "chat_model_configs",
            {"id": "x"},
            {"model": ["gpt", "evil"]},
            "",
        ),
        Action(
            "model_without_provider",
            "chat_model_configs",
            {"id": "x"},
            {"deleted": [False, None]},
            "",
            "delete",
        ),
        Action("schema_drift", "chat_model_configs", {"id": 1}, {"model": ["", "x"]}, ""),
    ],
    ids=["table", "injection", "column", "kind", "no repair"],
)
def test_a_plan_can_do_no_more_than_its_check(connection, tmp_path, action):
    incident(connection)
    path = tmp_path / "plan.json"
    path.write_text("".join(crafted(planned(connection), action).lines()))
    before = whole(connection)
    with pytest.raises(Refused, match="does no such thing"):
        apply_plan(connection, read_plan(path))
    assert whole(connection) == before


def test_a_plan_of_an_unknown_check_is_refused(connection):
    incident(connection)
    action = Action("of_tomorrow", "chats", {"id": 1}, {"title": ["", "x"]}, "")
    with pytest.raises(Refused, match="a check of_tomorrow, which is not known here"):
        apply_plan(connection, crafted(planned(connection), action))


def test_a_plan_knows_its_tables(connection, made):
    del made
    connection.execute("create schema staging; create table staging.x ()")
    for name in ("chat_providers", "chat_model_configs", "chats", "chat_messages"):
        connection.execute(f"create table staging.{name} (like public.{name})")
    add_model(connection, "openai")
    plan = planned(connection)
    before = whole(connection)
    connection.execute("set search_path = staging")
    with pytest.raises(Refused, match="in the schema public, and here it is another table"):
        apply_plan(connection, plan)
    with pytest.raises(Refused, match="run 1 changed chat_model_configs in the schema pub"):
        undo_run(connection, 1)
    connection.execute("set search_path = public")
    assert whole(connection) == before
    assert rows(connection, "select distinct table_schema from sexton.changes") == [
        {"table_schema": "public"}
    ]
