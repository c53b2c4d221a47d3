"""The runner: what it says where others are in the way, and what was committed before."""

import threading

import pytest

from sexton import journal
from sexton.database import scalar
from sexton.errors import Busy
from sexton.repair.apply import apply_plan
from sexton.repair.undo import undo_run
from tests.support.repairs import ALLOW, incident, orphans, planned


@pytest.mark.usefixtures("quick")
def test_a_row_that_stays_locked_in_a_later_batch_tells_of_the_earlier(connection, other):
    orphans(connection, 45)
    plan = planned(connection, options=ALLOW)
    late = plan.actions[-3].key["id"]
    with other.transaction():
        other.execute("select from chat_model_configs where id = %s for update", (late,))
        with pytest.raises(Busy) as error:
            apply_plan(connection, plan)
    made = journal.get_run(connection, 1)["rows"]
    assert made > 0
    said = f"{made} of 46 rows were changed before, in run 1, and stay"
    assert said in error.value.message
    assert error.value.hint == "the same command goes on"
    assert apply_plan(connection, plan).resumed == made
    assert undo_run(connection, 1).rows == 46


@pytest.mark.usefixtures("quick")
def test_what_was_interrupted_can_be_finished_by_a_new_plan(connection, other, sexton):
    orphans(connection, 45)
    late = planned(connection, options=ALLOW).actions[-3].key["id"]
    options = ("--apply", "--max-fraction", "1")
    with other.transaction():
        other.execute("select from chat_model_configs where id = %s for update", (late,))
        result = sexton("repair", *options)
    assert result.code == 6
    assert "nothing was changed" not in result.stderr
    assert "sexton repair --apply plans what is left" in result.stderr
    assert "(interrupted)" in sexton("history").stdout
    assert sexton("repair", *options).code == 0
    assert sexton("repair").stdout == "nothing to repair\n"
    assert sexton("undo", "2").code == 0
    assert sexton("undo", "1").code == 0
    assert len(planned(connection, options=ALLOW).actions) == 46


def test_who_commits_while_it_waits_is_seen(connection, other):
    """With an older snapshot the change of the other would be lost or overwritten."""
    _, orphan, _ = incident(connection)
    plan = planned(connection)
    connection.execute("set default_transaction_isolation = 'repeatable read'")
    other.execute("begin")
    other.execute(
        "update chat_model_configs set updated_at = now() where id = %s", (orphan,)
    )
    timer = threading.Timer(0.5, lambda: other.execute("commit"))
    timer.start()
    with pytest.raises(Exception, match="moved since the plan was made"):
        apply_plan(connection, plan)
    timer.join()


@pytest.mark.usefixtures("small_batches")
def test_inside_a_callers_transaction_a_large_plan_is_one_piece(connection):
    orphans(connection, 45)
    plan, told = planned(connection, options=ALLOW), []
    with connection.transaction():
        apply_plan(connection, plan, progress=lambda *done: told.append(done))
        assert not scalar(connection, "select batched from sexton.runs")
    assert told == []
