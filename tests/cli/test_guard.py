"""The guard at the command line."""

import contextlib

from sexton import project
from sexton.database import connect
from tests.support import guards as guard
from tests.support.project import above
from tests.support.tools import Cli, add_model, add_provider, table
from tests.support.worlds_of_guards import CUSTOMERS


def test_guard_add_status_remove(sexton):
    none = sexton("guard", "status")
    guard_of = "guard of chat_model_configs.provider -> chat_providers.provider: "
    assert none.code == 0
    assert none.stdout == f"{guard_of}there is none; sexton guard add sets one\n"
    planned = sexton("guard", "add", "--plan", "--format", "json")
    assert planned.code == 1
    assert [step["title"] for step in planned.json["steps"]] == [
        step.title for step in guard.ADD
    ]
    assert not any(step["rewrites"] for step in planned.json["steps"])
    assert sexton("guard", "status").stdout == none.stdout
    added = sexton("guard", "add", "--format", "json")
    assert added.code == 0
    [said] = added.json["guards"]
    assert (added.json["guard"], said["constraint"]) == ("set", "sexton_guard")
    assert sexton("guard", "add", "--plan").code == 0
    assert sexton("guard", "status").stdout.startswith(
        f"{guard_of}set, CONSTRAINT sexton_guard is valid\n"
    )
    going = sexton("guard", "remove", "--plan")
    assert going.code == 1
    assert "warning: the database will no longer promise" in going.stdout
    assert sexton("guard", "remove").code == 0
    assert sexton("guard", "remove").stdout.startswith("nothing to do\n")


def test_guard_status_says_what_is_missing(sexton, connection):
    sexton("guard", "add")
    connection.execute("alter table chat_model_configs drop constraint sexton_guard")
    said = sexton("guard", "status")
    assert said.code == 1
    assert "missing  foreign key sexton_guard on chat_model_configs" in said.stdout


def test_guard_add_lists_the_orphans_and_the_repair(sexton, connection):
    add_provider(connection, "azure")
    add_model(connection, "azure", is_default=True)
    add_model(connection, "openai")
    planned = sexton("guard", "add", "--plan")
    assert planned.code == 5
    refused = sexton("guard", "add")
    assert refused.code == 5
    for said in (planned.stdout, refused.stderr):
        assert (
            "1 live row of chat_model_configs is an orphan: "
            "there is no chat_providers.provider 'openai'"
        ) in said
        assert "sexton repair model_without_provider" in said
    assert sexton("repair", "model_without_provider", "--apply").code == 0
    assert sexton("guard", "add").code == 0


def test_upgrade_guard_from_the_command_line(sexton):
    assert sexton("downgrade", "0003").code == 0
    planned = sexton("upgrade", "--guard", "--plan", "--format", "json")
    steps = [step["revision"] for step in planned.json["steps"]]
    assert steps[: len(guard.ADD) + 1] == ["guard"] * len(guard.ADD) + ["0004"]
    done = sexton("upgrade", "--guard", "--format", "json")
    assert (done.code, done.json["applied"]) == (0, ["guard", *above("0003")])
    planned = sexton("downgrade", "0002", "--plan", "--format", "json")
    steps = [step["revision"] for step in planned.json["steps"]]
    assert steps[steps.index("0004") :][:3] == ["0004", "0004", "guard"]
    assert sexton("downgrade", "0001").code == 0
    assert sexton("upgrade", "0001", "--guard").code == 2


def test_repair_and_life_cycle_commands_under_the_guard(sexton, connection):
    sexton("guard", "add")
    for name in ("openai", "azure"):
        add_provider(connection, name)
    add_model(connection, "openai")
    add_model(connection, "azure")
    half = add_model(connection, "openai", "h", deleted=True)
    assert sexton("repair", "default_missing", "tombstone_half_set", "--apply").code == 0
    assert sexton("provider", "delete", "azure").code == 0
    assert sexton("audit", "model_without_provider").code == 0
    marks = {r["id"]: r["sexton_live"] for r in table(connection, "chat_model_configs")}
    assert marks[half] is None
    assert sorted(map(str, marks.values())) == ["None", "None", "True"]


FILE = """
project = "billing"
[[soft_delete]]
table = "invoices"
deleted = "deleted"
"""
REFERENCE = """
[[reference]]
child = "invoices.{}"
parent = "customers.id"
guard = true
id = ["no"]
"""


def test_three_guards_of_which_one_is_refused_are_none(
    database, tmp_path, monkeypatch, capfd
):
    columns = ("customer_id", "payer_id", "agent_id")
    text = FILE + "".join(REFERENCE.format(column) for column in columns)
    (tmp_path / "sexton.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    url = database("empty")
    with (
        contextlib.closing(connect(url, name="tests")) as connection,
        project.afresh(),
    ):
        connection.execute(
            CUSTOMERS
            + "alter table invoices add payer_id bigint, add agent_id bigint;"
            + "insert into invoices (payer_id) values (77)"
        )
        run = Cli(url, capfd)
        for said in (run("guard", "add", "--plan"), run("guard", "add")):
            assert said.code == 5
            assert "nothing was changed" in said.stdout + said.stderr
        assert guard.everything_of_ours(connection) == []
        connection.execute("delete from invoices")
        connection.execute(
            "alter table invoices add foreign key (agent_id) references customers "
            "deferrable initially deferred"
        )
        made = run("guard", "add")
        assert made.code == 0
        assert "for live rows, deferrable initially deferred, not yet valid" in made.stdout
        assert run("guard", "add").stdout.startswith("nothing to do")
        said = run("guard", "add", "invoices.customer_id", "--not-deferrable")
        assert said.code == 2
        place = ("invoices.customer_id", "customers.id")
        assert run("guard", "add", *place, "--deferrable").code == 0
        assert (
            "--deferrable --initially"
            in run("guard", "add", *place, "--initially", "deferred").stderr
        )
        assert run("guard", "remove").code == 0
        assert guard.everything_of_ours(connection) == []
