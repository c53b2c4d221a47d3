"""`sexton repair` with checks of one's own, and what it says at 3 a.m."""

import pytest

from sexton.database import scalar
from sexton.project import all_checks
from tests.support.repairs import incident, orphans
from tests.support.tools import add_model, add_provider


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.json"


OWN = '''"""An invoice is paid twice.

Imports do it. Reports are wrong then.

The repair takes the second payment away.
"""

from sexton.check import Check, Severity, Update

check = Check(
    __name__,
    severity=Severity.ERROR,
    table="invoices",
    key=("id",),
    message="invoice {id} is paid {paid} times",
    where="this.paid > 1",
    select={"paid": "this.paid"},
    repair=Update(set={"paid": "1"}, why="it was paid {paid} times"),
)
'''


@pytest.fixture
def folder(connection, tmp_path):
    connection.execute("create table invoices (id int primary key, paid int)")
    connection.execute("insert into invoices values (1, 1), (2, 2), (3, 3)")
    (tmp_path / "paid_twice.py").write_text(OWN)
    return str(tmp_path)


def test_own_checks_are_repaired_and_undone(connection, sexton, folder, tmp_path):
    plan = str(tmp_path / "plan.json")
    own = ("--checks", folder)
    result = sexton("repair", "paid_twice", *own, "--out", plan)
    assert result.code == 1, result.stderr
    assert "2 rows to change" in result.stdout
    assert "paid: 2 -> 1" in result.stdout
    refused = sexton("apply", plan)
    assert refused.code == 5
    assert "--checks DIR" in refused.stderr
    assert sexton("apply", plan, *own).code == 0
    assert scalar(connection, "select sum(paid) from invoices") == 3
    assert "paid_twice: invoices id=2" in sexton("history", "1").stdout
    assert sexton("undo", "1").code == 5
    assert sexton("undo", "1", *own).code == 0
    assert scalar(connection, "select sum(paid) from invoices") == 6


def test_repairs_that_wait_for_each_other_are_refused(sexton, folder, tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        text = OWN.replace("    repair=", f"    after=('{other}',),\n    repair=")
        (tmp_path / f"{name}.py").write_text(text)
    result = sexton("repair", "--checks", folder)
    assert result.code == 2
    assert "wait for each other" in result.stderr


def test_many_orphans_of_one_lost_provider_say_what_cures_them_all(connection, sexton):
    add_provider(connection, "anthropic", api_key="x")
    add_model(connection, "anthropic", is_default=True)
    for number in range(5):
        add_model(connection, "google", f"gemini {number}")
    result = sexton("repair", "model_without_provider")
    assert "model_without_provider: 5 rows to change" in result.stdout
    assert "`sexton provider add` would keep instead: 5" in result.stdout


def test_a_plan_that_a_limit_refuses_is_shown_and_not_saved(connection, sexton, tmp_path):
    add_provider(connection, "anthropic", api_key="x")
    for number in range(20):
        add_model(connection, "google", f"gemini {number}", is_default=number == 0)
    path = tmp_path / "plan.json"
    result = sexton("repair", "--out", str(path))
    assert (result.code, path.exists()) == (5, False)
    assert "model_without_provider: 20 rows to change" in result.stdout
    assert "--max-fraction" in result.stderr


def test_names_in_a_plan_cannot_lie(connection, sexton):
    add_provider(connection, "anthropic", api_key="x")
    add_model(connection, "anthropic", is_default=True)
    add_model(connection, "google", "x\n\x1b]0;owned\x07nothing to repair")
    result = sexton("repair")
    assert "\x1b" not in result.stdout
    assert "\nnothing to repair" not in result.stdout


def test_every_repair_says_what_it_writes():
    for check in all_checks().values():
        assert len(check.repair_texts) == len(check.repairs)


def test_the_commands_tell_the_whole_story(sexton, connection, path):
    incident(connection)
    result = sexton("repair", "--out", str(path))
    assert result.code == 1
    assert f"sexton apply {path}" in result.stdout
    result = sexton("apply", str(path), "--actor", "ann", "--format", "json")
    assert (result.code, result.json["run"], result.json["rows"]) == (0, 1, 3)
    assert "applied before, in run 1" in sexton("apply", str(path)).stdout
    assert sexton("repair").stdout == "nothing to repair\n"
    result = sexton("history", "--format", "json")
    [run] = result.json["runs"]
    assert (run["actor"], run["rows"], run["undone_by"]) == ("ann", 3, None)
    assert len(sexton("history", "1", "--format", "json").json["changes"]) == 3
    assert "by ann" in sexton("history", "1").stdout
    assert sexton("undo", "1").code == 0
    assert "undo" in sexton("history").stdout
    assert sexton("apply", str(path)).code == 5
    assert sexton("undo", "9").code == 2


def test_what_repair_prints_as_json_can_be_applied(sexton, connection, path):
    incident(connection)
    result = sexton("repair", "--format", "json")
    assert result.json["actions"][0]["check"] == "tombstone_half_set"
    path.write_text(result.stdout)
    assert sexton("apply", str(path)).code == 0
    assert sexton("repair", "--format", "json").code == 0


def test_repair_now_prints_the_plan_and_the_run(sexton, connection):
    incident(connection)
    result = sexton("repair", "--apply", "--format", "json")
    assert (result.code, result.json["applied"]["run"]) == (0, 1)
    assert len(result.json["actions"]) == 3


def test_a_guarded_plan_is_shown_but_not_saved(sexton, connection, path):
    orphans(connection, 20)
    result = sexton("repair")
    assert result.code == 1
    assert "safety limit: 21 of the 21 rows" in result.stdout
    result = sexton("repair", "--out", str(path))
    assert (result.code, path.exists()) == (5, False)
    assert "--max-fraction 1" in result.stderr
    assert sexton("repair", "--apply").code == 5
    result = sexton("repair", "--apply", "--max-fraction", "1")
    assert result.code == 0, result.stdout


def test_saving_and_making_at_once_is_a_mistake(sexton, path):
    assert sexton("repair", "--apply", "--out", str(path)).code == 2
    assert sexton("repair", "no_such_check").code == 2
    assert sexton("repair", "--unsafe", "no_such_check").code == 2
