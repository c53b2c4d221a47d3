"""Repair: the plan, the deed, and the proof."""

import subprocess
import sys
from subprocess import PIPE

import pytest

from tests.tools import add_model, add_provider, found, repaired, table
from toolkit.audit import select_checks
from toolkit.database import connect, scalar, snapshot, transact
from toolkit.errors import Incomplete, Refused
from toolkit.locks import lock_election
from toolkit.repair import make_repairs, plan_repair


@pytest.fixture
def incident(connection):
    """An orphan that is the default, a half-set tombstone, and an heir."""
    add_provider(connection, "openai")
    add_model(connection, "openai", "gpt")
    add_model(connection, "google", is_default=True)
    add_model(connection, "google")
    add_model(connection, "openai", deleted=True)


def plan(connection, *names):
    with snapshot(connection):
        return plan_repair(connection, select_checks(names))


def test_planning_changes_nothing(connection, incident):
    before = table(connection, "chat_model_configs")
    assert len(plan(connection).actions) == 4
    assert table(connection, "chat_model_configs") == before


def test_orphans_go_before_a_default_is_chosen(connection, incident):
    order = [action.check for action in plan(connection).actions]
    assert order == ["model_without_provider"] * 2 + [
        "tombstone_half_set",
        "default_missing",
    ]


def test_one_repair_cures_everything(connection, incident):
    repaired(connection)
    for check in select_checks([]):
        assert found(connection, check.name).status in ("pass", "skipped"), check.name


def test_what_is_done_is_what_was_planned(connection, incident):
    planned = plan(connection)
    transact(connection, lambda: make_repairs(connection, planned))
    rows = {str(row["id"]): row for row in table(connection, "chat_model_configs")}
    for action in planned.actions:
        for column, (_, after) in action.change.items():
            if after != "now" and column != "deleted_at":
                assert rows[action.key["id"]][column] == after


def test_a_row_that_moved_refuses_the_whole_plan(connection, incident, url):
    planned = plan(connection)
    connection.execute("update chat_model_configs set updated_at = now() where enabled")
    before = table(connection, "chat_model_configs")
    with pytest.raises(Refused, match="moved since the plan was made"):
        transact(connection, lambda: make_repairs(connection, planned))
    assert table(connection, "chat_model_configs") == before


def test_nothing_is_planned_from_half_a_picture(connection):
    add_model(connection, "openai")
    with pytest.raises(Incomplete, match="chat_providers is empty"):
        plan(connection)


def test_again_there_is_nothing_to_do(sexton, connection, incident):
    assert sexton("repair").code == 1
    assert sexton("repair", "--apply").code == 0
    again = sexton("repair")
    assert (again.code, again.stdout) == (0, "nothing to repair\n")


def test_only_what_is_named_is_repaired(sexton, connection, incident):
    document = sexton("repair", "tombstone_half_set", "--format", "json").json
    assert {action["check"] for action in document["actions"]} == {"tombstone_half_set"}
    assert set(document["plan"]) == {
        *("id", "database", "revision", "made_at", "expires_at", "digest"),
    }


def test_what_only_a_person_can_decide_is_listed(sexton, connection):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True, enabled=False)
    result = sexton("repair", "--format", "json")
    assert result.code == 1
    assert [skip["check"] for skip in result.json["skipped"]] == ["default_disabled"]


def test_two_repairs_at_once_both_end_well(sexton, connection, incident, url):
    """The second one waits for the first, then finds nothing left to do."""
    command = [sys.executable, "-m", "toolkit", "repair", "--apply", "--url", url]
    with connection.transaction():
        lock_election(connection)
        both = [subprocess.Popen(command, stdout=PIPE, text=True) for _ in range(2)]
        with connect(url, name="tests") as observer:
            while scalar(observer, WAITING) < 2:
                assert all(each.poll() is None for each in both)
    said = sorted(each.communicate()[0].splitlines()[-1] for each in both)
    assert said == ["4 rows changed", "nothing to repair"]
    assert [each.returncode for each in both] == [0, 0]
    assert sexton("audit").code == 0


WAITING = """
    select count(*) from pg_locks where locktype = 'advisory' and not granted
      and database = (select oid from pg_database where datname = current_database())
"""
