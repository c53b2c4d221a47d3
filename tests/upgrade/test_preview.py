"""A plan writes nothing, and says who is in the way."""

import contextlib

from sexton.chat import schema as chat_schema
from sexton.database import connect, scalar
from sexton.upgrade.run import downgrade
from tests.support.project import REVISIONS, down_to
from tests.support.tools import Cli


def test_a_plan_writes_nothing_and_names_who_blocks(database, sexton):
    sexton.url = database("0003")
    with (
        contextlib.closing(connect(sexton.url, name="application")) as other,
        other.transaction(),
    ):
        pid = other.info.backend_pid
        other.execute("select from chat_providers")
        other.execute("select pg_sleep(0.1)")
        result = sexton("upgrade", "--plan", "--max-stall", "50ms", "--format", "json")
        assert scalar(other, "select version_num from sexton.alembic_version") == "0003"
        assert chat_schema.provider_keys(other)
    assert result.code == 1
    step, *_ = result.json["steps"]
    assert step["lock"] == "access exclusive"
    assert step["tables"] == ["chat_providers", "chat_model_configs"]
    assert [blocker["pid"] for blocker in step["blockers"]] == [pid]
    assert "query" not in step["blockers"][0]


def test_a_plan_on_a_read_only_connection_of_a_fresh_database(database, sexton):
    sexton.url = database("empty")
    result = sexton("upgrade", "--plan", "--format", "json")
    assert result.code == 1
    assert result.json["revisions"] == REVISIONS
    # What the baseline brings, later steps take away: nothing is called done.
    assert not any(step["done"] for step in result.json["steps"])


def test_a_plan_of_a_downgrade_does_not_refuse_what_it_will_have_repaired(
    populated, url, capfd
):
    planned = Cli(url, capfd)("downgrade", "0002", "--plan")
    assert planned.code == 1
    assert "refused" not in planned.stdout
    assert downgrade(populated, "0002") == down_to("0002")


def test_what_cannot_be_reversed_is_called_so(database, sexton):
    sexton.url = database("0003")
    planned = sexton("upgrade", "--plan").stdout
    assert (
        "        irreversible: a provider that is deleted afterwards comes back" in planned
    )


def test_steps_that_send_nothing_are_one_line_and_are_not_counted(database, sexton):
    sexton.url = database("0002")
    steps = sexton("upgrade", "--plan", "--format", "json").json["steps"]
    idle = [step["title"] for step in steps if step["done"] is not False]
    assert idle
    said = sexton("upgrade", "--plan").stdout
    sent = len(steps) - len(idle)
    assert said.startswith(f"{sent} step")
    for title in idle:
        [line] = [line for line in said.splitlines() if title in line]
        assert "probably nothing to do, asked again then" in line
