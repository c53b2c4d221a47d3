"""The guard at the command line."""

from tests.support import guards as guard
from tests.support.project import above
from tests.support.tools import add_model, add_provider, table


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
