"""The journal knows each row that a step of a revision changed, written with the row."""

import contextlib

import pytest

from sexton import journal
from sexton.catalog import schema
from sexton.database import connect, rows, scalar
from tests.support.environments import alembic
from tests.support.project import ROOT
from tests.support.tools import Cli, add_chat, add_model, add_provider, table


@pytest.fixture
def world(database, capfd):
    """A database at head with a former default among the tombstones of no provider."""
    url = database()
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai", api_key="sk-secret")
        add_model(connection, "openai", "a", is_default=True)
        gone = {"deleted": True, "deleted_at": "2026-01-01T00:00:00Z"}
        ids = {"b": add_model(connection, "google", "b", is_default=True, **gone)}
        ids["c"] = add_model(connection, "google", "c", enabled=False, **gone)
        add_chat(connection, ids["b"])
        yield Cli(url, capfd), connection, ids


def of_rows(connection):
    """The runs that have rows, the oldest first, each with its changes."""
    found = [run for run in reversed(journal.list_runs(connection)) if run["rows"]]
    return [(run, journal.list_changes(connection, run["run"])) for run in found]


WRITTEN = [
    ("downgrade", "0004", "chat_providers", "enabled", None, False),
    ("downgrade", "0003", "chat_model_configs", "is_default", True, False),
    ("downgrade", "0002", "chat_model_configs", "enabled", True, False),
    ("upgrade", "0001", "chat_model_configs", "deleted", False, True),
    ("upgrade", "0002", "chat_model_configs", "is_default", False, True),
    ("upgrade", "0003", "chat_providers", "enabled", False, None),
]


def require_written(connection, ids):
    found = of_rows(connection)
    assert len(found) == len(WRITTEN)
    for (run, changes), (kind, start, name, column, before, after) in zip(
        found, WRITTEN, strict=True
    ):
        assert (run["kind"], run["options"]["from"]) == (kind, start)
        assert run["finished"]
        assert run["options"]["step"] == changes[0]["why"]
        seen = {
            (change["table"], (change["before"] or {}).get(column),
             (change["after"] or {}).get(column))
            for change in changes
        }  # fmt: skip
        assert (name, before, after) in seen
        sides = [c[side] or {} for c in changes for side in ("before", "after")]
        assert not any("api_key" in side for side in sides)
    disabled = {change["key"]["id"] for change in found[2][1]}
    assert disabled == {str(id) for id in ids.values()}


def test_each_row_down_and_up_is_a_change_of_a_run(world):
    sexton, connection, ids = world
    before = [table(connection, name) for name in ("chat_model_configs", "chat_providers")]
    assert sexton("downgrade", "0001", "--tombstones", "disable").code == 0
    assert sexton("upgrade").code == 0
    require_written(connection, ids)
    after = [table(connection, name) for name in ("chat_model_configs", "chat_providers")]
    assert after == before
    run = of_rows(connection)[2][0]["run"]
    shown = sexton("history", str(run)).stdout
    assert "enabled" in shown
    assert str(ids["b"]) in shown
    assert len(sexton("history", str(run), "--format", "json").json["changes"]) == 2


def test_plain_alembic_writes_them_too_and_makes_the_journal(world):
    sexton, connection, ids = world
    assert not journal.has_journal(connection)
    down = alembic(sexton.url, "-x", "tombstones=disable", "downgrade", "0001", cwd=ROOT)
    assert down.returncode == 0, down.stderr
    up = alembic(sexton.url, "upgrade", "head", cwd=ROOT)
    assert up.returncode == 0, up.stderr
    require_written(connection, ids)


@pytest.mark.parametrize(
    ("place", "command"), [(0, "sexton upgrade 0004"), (5, "sexton downgrade 0003")]
)
def test_an_undo_of_such_a_run_names_the_way_back(world, place, command):
    sexton, connection, _ = world
    assert sexton("downgrade", "0003").code == 0
    assert sexton("upgrade").code == 0
    runs = of_rows(connection)
    run = runs[0 if place == 0 else -1][0]["run"]
    refused = sexton("undo", str(run))
    assert refused.code == 5
    assert "changed rows with the schema: no undo reverts it" in refused.stderr
    history = f"its rows as they were: sexton history {run}"
    assert f"next: {command}; {history}\n" in refused.stderr


def test_a_plan_says_where_the_journal_will_not_have_the_rows(world):
    sexton, connection, _ = world
    stranger = f"stranger_{connection.info.dbname}"
    said = "will not be in the journal: the schema sexton, or the journal in it, belongs"
    connection.execute("create table sexton.runs ()")
    connection.execute(f"create role {stranger}")
    try:
        connection.execute(f"alter table sexton.runs owner to {stranger}")
        plan = sexton("downgrade", "0002", "--plan", "--format", "json").json
        assert [s["title"] for s in plan["steps"] if said in "".join(s["warnings"])] == [
            "write stubs for missing providers, and add the key, not yet valid",
            "take the flag from tombstones, and remember them",
        ]
    finally:
        connection.execute("drop table sexton.runs")
        connection.execute(f"drop role {stranger}")


REFUSING = """
    create function public.no() returns trigger language plpgsql as
        $$ begin raise 'no room'; end $$;
    create trigger no before insert on sexton.{table}
        for each row execute function public.no()
"""


def test_where_no_run_can_be_opened_the_step_is_done_and_that_is_said(world):
    sexton, connection, _ = world
    assert sexton("model", "list").code == 0
    assert sexton("downgrade", "0003").code == 0
    connection.execute(REFUSING.format(table="runs"))
    result = sexton("downgrade", "0002")
    assert result.code == 0
    said = 'the rows of the step "take the flag from tombstones, and remember them" are'
    assert f"{said} not in the journal: no room" in result.stderr
    flags = "select count(*) from chat_model_configs where is_default and deleted"
    assert scalar(connection, flags) == 0


def test_a_row_and_its_record_are_there_together_or_not_at_all(world):
    sexton, connection, _ = world
    assert sexton("downgrade", "0003").code == 0
    connection.execute(REFUSING.format(table="changes"))
    before = table(connection, "chat_model_configs")
    result = sexton("downgrade", "0002")
    assert result.code == 5, result.stderr
    assert "no room" in result.stderr
    assert table(connection, "chat_model_configs") == before
    assert schema.revision(connection) == "0003"
    assert not rows(connection, "select to_regclass('sexton.former_defaults') as there")[0][
        "there"
    ]
