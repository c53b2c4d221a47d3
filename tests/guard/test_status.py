"""What is said of a guard, and what the audit believes of it."""

import pytest
from alembic import command

from sexton.ddl.engine import engine
from sexton.errors import Refused
from sexton.guard import change
from sexton.guard.spec import GuardSpec
from sexton.guard.status import INCOMPLETE, SET, drift, enforced_by, status
from sexton.upgrade.run import config
from tests.support import guards as guard
from tests.support.guards import DAMAGE, everything_of_ours, tombstone
from tests.support.tools import Cli, add_model, add_provider
from tests.support.worlds_of_guards import BOTH, PLAIN, every_world, make, run, state


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_and_repaired(guarded, damage):
    tombstone(guarded, "openai")
    assert guard.drift(guarded) == []
    for statement in DAMAGE[damage].split(";\n"):
        guarded.execute(statement)
    assert guard.status(guarded)["guard"] == "incomplete"
    [sentence] = guard.drift(guarded)
    assert sentence.startswith(
        "the guard of chat_model_configs.provider is incomplete, it lacks "
    )
    guard.add(guarded)
    assert guard.status(guarded)["guard"] == "set"


@pytest.mark.parametrize("name", ["model_without_provider", "orphaned_default"])
def test_the_audit_says_that_the_guard_enforces_it(sexton, connection, name):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    assert sexton("audit", name, "--format", "json").json["checks"][0]["strategy"]
    guard.add(connection)
    [check] = sexton("audit", name, "--format", "json").json["checks"]
    assert check["status"] == "pass"
    assert check["reason"] == "enforced by CONSTRAINT sexton_guard"


@pytest.mark.parametrize(
    "damage",
    [
        "check dropped",
        "check weakened",
        "key dropped",
        "key not valid",
        "key's triggers off",
    ],
)
def test_the_audit_believes_only_a_whole_guard(guarded, guarded_url, capfd, damage):
    add_provider(guarded, "openai")
    add_model(guarded, "openai", is_default=True)
    for statement in DAMAGE[damage].split(";\n"):
        guarded.execute(statement)
    said = Cli(guarded_url, capfd)("audit", "model_without_provider", "--format", "json")
    [check] = said.json["checks"]
    assert (check["status"], check["reason"]) == ("pass", None)


@pytest.mark.parametrize("damage", ["trigger off", "check dropped", "key not valid"])
def test_schema_drift_and_status_know_its_parts(guarded, guarded_url, capfd, damage):
    run = Cli(guarded_url, capfd)
    assert run("audit", "schema_drift").code == 0
    for statement in DAMAGE[damage].split(";\n"):
        guarded.execute(statement)
    assert (
        "the guard is incomplete: sexton guard add" in run("audit", "schema_drift").stdout
    )
    said = run("status")
    assert said.code == 1
    assert "the guard is incomplete: sexton guard add" in said.stdout


def test_dropping_the_column_provider_takes_the_key_away_and_status_says_so(guarded):
    guarded.execute("alter table chat_model_configs drop column provider")
    assert guard.status(guarded)["guard"] == "incomplete"
    assert guard.status(guarded)["constraint"] is None
    guard.remove(guarded)
    assert everything_of_ours(guarded) == []


def test_alembic_check_finds_nothing_to_drop(guarded_url, guarded):
    assert guard.status(guarded)["guard"] == "set"
    checked = config()
    with engine(guarded_url, "alembic check").connect() as connection:
        checked.attributes["connection"] = connection
        command.check(checked)


@every_world
def test_quoting_of_everything_changes_nothing(empty, world):
    make(empty, world)
    change.add(empty, world.spec)
    empty.execute("set quote_all_identifiers = on")
    assert state(empty, world.spec) == SET
    assert drift(empty, world.spec) == []
    assert change.add(empty, world.spec) == []


def test_what_a_part_lacks_is_said_and_repaired(empty):
    make(empty, BOTH)
    change.add(empty, BOTH.spec)
    guard = status(empty, BOTH.spec)["guards"][0]
    trigger = next(p["part"] for p in guard["parts"] if "trigger" in p["part"])
    name = trigger.split()[1]
    run(empty, f'alter table customers disable trigger "{name}"')
    assert state(empty, BOTH.spec) == INCOMPLETE
    [sentence] = drift(empty, BOTH.spec)
    assert f"it lacks {trigger}: sexton guard add" in sentence
    assert len(change.add(empty, BOTH.spec)) == 1
    assert state(empty, BOTH.spec) == SET


def test_another_condition_under_the_same_name_is_another_guard(empty):
    make(empty, BOTH)
    change.add(empty, BOTH.spec)
    other = GuardSpec(
        *("invoices", ("customer_id",), "customers", ("id",)), parent_live="not deleted"
    )
    assert state(empty, other) == INCOMPLETE
    assert enforced_by(empty, other) is None
    change.add(empty, other)
    assert state(empty, other) == SET
    assert state(empty, BOTH.spec) == INCOMPLETE


PARTS = """
    create table customers (id bigint primary key);
    create table invoices (no int, customer_id bigint, deleted boolean not null)
        partition by range (no);
    create table invoices_a partition of invoices for values from (0) to (9);
    create table invoices_b partition of invoices default;
    create index on invoices (customer_id);
"""


def test_a_guard_switched_off_on_one_partition_is_neither_set_nor_believed(empty):
    if empty.info.server_version < 180000:
        return  # a partitioned table has no guard there
    empty.execute(PARTS)
    change.add(empty, PLAIN.spec)
    key = enforced_by(empty, PLAIN.spec)
    assert (state(empty, PLAIN.spec), bool(key)) == (SET, True)
    empty.execute("alter table invoices_b disable trigger all")
    assert state(empty, PLAIN.spec) == INCOMPLETE
    assert enforced_by(empty, PLAIN.spec) is None
    empty.execute("insert into invoices values (20, 7, false)")
    with pytest.raises(Refused, match="1 live row of invoices is an orphan"):
        change.add(empty, PLAIN.spec)
    empty.execute("delete from invoices")
    change.add(empty, PLAIN.spec)
    assert state(empty, PLAIN.spec) == SET


def test_a_guard_that_a_replicating_role_passes_is_not_believed(empty):
    make(empty, BOTH)
    change.add(empty, BOTH.spec)
    name = empty.info.dbname
    empty.execute(f'alter database "{name}" set session_replication_role = replica')
    assert state(empty, BOTH.spec) == INCOMPLETE
    assert enforced_by(empty, BOTH.spec) is None
    [sentence] = drift(empty, BOTH.spec)
    assert sentence.startswith(
        "the guard of invoices.customer_id lacks triggers that every writer fires"
    )
    empty.execute(f'alter database "{name}" reset session_replication_role')
    assert state(empty, BOTH.spec) == SET
