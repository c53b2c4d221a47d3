"""Planning: what `sexton repair` says it would do, and why."""

import pytest

from sexton.database import connect, scalar
from sexton.errors import Incomplete, UsageError
from sexton.repair.apply import apply_plan
from tests.support.repairs import incident, planned, repaired, whole
from tests.support.tools import add_model, add_provider, login, table


def test_a_clean_database_needs_no_repair(connection):
    add_provider(connection, "anthropic", api_key="x")
    add_model(connection, "anthropic", is_default=True)
    plan = planned(connection)
    assert (list(plan.actions), plan.skipped, plan.limits) == ([], [], [])


def test_naming_one_check_brings_the_repairs_that_must_follow(connection):
    incident(connection)
    plan = planned(connection, "model_without_provider")
    assert [a.check for a in plan.actions] == ["model_without_provider", "default_missing"]


def test_a_default_that_nobody_can_inherit_is_left_to_a_person(connection):
    add_provider(connection, "anthropic", enabled=False)
    add_model(connection, "anthropic")
    add_model(connection, "openai", is_default=True)
    plan = planned(connection, "model_without_provider")
    assert [a.check for a in plan.actions] == ["model_without_provider"]
    [skip] = plan.skipped
    assert skip.check == "default_missing"
    assert "no config is usable" in skip.reason
    apply_plan(connection, plan)


def test_planning_writes_nothing(connection):
    incident(connection)
    before = whole(connection)
    planned(connection)
    assert whole(connection) == before
    assert scalar(connection, "select to_regclass('sexton.changes')") is None


def test_a_role_that_may_only_read_can_plan(connection, url):
    incident(connection)
    connection.execute("drop role if exists sexton_reader")
    connection.execute(f"create role sexton_reader {login(connection)}")
    connection.execute("grant select on all tables in schema public to sexton_reader")
    connection.execute("grant usage on schema sexton to sexton_reader")
    connection.execute("grant select on sexton.alembic_version to sexton_reader")
    try:
        with connect(url, name="tests") as reader:
            reader.execute("set role sexton_reader")
            plan = planned(reader)
        assert len(plan.actions) == 3
        assert plan.limits == []
        assert plan.database["system_identifier"] is not None
        connection.execute("revoke execute on function pg_control_system() from public")
        with connect(url, name="tests") as reader:
            reader.execute("set role sexton_reader")
            plan = planned(reader)
        assert plan.database["system_identifier"] is None
        assert apply_plan(connection, plan).rows == 3
    finally:
        connection.execute("drop owned by sexton_reader")
        connection.execute("drop role sexton_reader")


def test_half_a_picture_is_no_plan(connection):
    incident(connection)
    connection.execute("create role sexton_blind")
    try:
        connection.execute(
            "grant select on chat_model_configs, chat_providers to sexton_blind"
        )
        connection.execute("set role sexton_blind")
        with pytest.raises(Incomplete, match="chat_without_model could not be run"):
            planned(connection)
        connection.execute("reset role")
    finally:
        connection.execute("drop owned by sexton_blind")
        connection.execute("drop role sexton_blind")


def test_what_loses_something_needs_unsafe_and_its_name(connection):
    add_provider(connection, "openai", enabled=False, central_api_key_enabled=True)
    plan = planned(connection, "provider_stub")
    [skip] = plan.skipped
    assert not plan.actions
    assert "sexton repair provider_stub --unsafe provider_stub" in skip.reason
    repaired(connection, "provider_stub", unsafe=("provider_stub",))
    assert table(connection, "chat_providers") == []


def test_unsafe_for_a_check_that_loses_nothing_is_a_mistake(connection):
    with pytest.raises(UsageError, match="loses nothing"):
        planned(connection, "default_missing", unsafe=("default_missing",))
    with pytest.raises(UsageError, match="not among those to repair"):
        planned(connection, "default_missing", unsafe=("provider_stub",))
