"""`sexton repair` with checks of one's own, and what it says at 3 a.m."""

import pytest

from sexton.database import scalar
from sexton.project import all_checks
from tests.support.tools import add_model, add_provider

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


def test_the_options_that_an_undo_is_told_of_are_its_own(connection, sexton):
    add_provider(connection, "anthropic", api_key="x")
    add_model(connection, "anthropic", is_default=True)
    add_model(connection, "google")
    assert sexton("repair", "--apply").code == 0
    connection.execute(
        """
        create function nothing() returns trigger language plpgsql
            as 'begin return new; end';
        create trigger meddler before update on chat_model_configs
            for each row execute function nothing();
        """
    )
    result = sexton("undo", "1")
    assert result.code == 5
    assert "--allow-triggers" in result.stderr
    assert sexton("undo", "1", "--allow-triggers").code == 0


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
