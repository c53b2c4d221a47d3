"""A row is changed only if it still is what the plan says it was."""

import pytest

from sexton import journal
from sexton.errors import Refused
from sexton.repair.apply import apply_plan
from tests.support.repairs import ALLOW, incident, orphans, planned, whole


def test_a_stale_plan_changes_nothing_and_names_the_rows_that_moved(connection):
    _, orphan, _ = incident(connection)
    plan = planned(connection)
    connection.execute(
        "update chat_model_configs set updated_at = now() where id = %s", (orphan,)
    )
    before = whole(connection)
    with pytest.raises(Refused, match=f"moved since .* id={orphan}; nothing was changed"):
        apply_plan(connection, plan)
    assert whole(connection) == before
    assert journal.list_runs(connection) == []


def test_a_row_that_is_gone_has_moved(connection):
    _, orphan, _ = incident(connection)
    plan = planned(connection)
    connection.execute("delete from chat_model_configs where id = %s", (orphan,))
    with pytest.raises(Refused, match=f"id={orphan}"):
        apply_plan(connection, plan)


@pytest.mark.usefixtures("small_batches")
def test_a_large_stale_plan_changes_nothing_either(connection):
    orphans(connection, 45)
    plan = planned(connection, options=ALLOW)
    last = plan.actions[-3].key["id"]
    connection.execute(
        "update chat_model_configs set updated_at = now() where id = %s", (last,)
    )
    before = whole(connection)
    with pytest.raises(Refused, match=f"id={last}; nothing was changed"):
        apply_plan(connection, plan)
    assert whole(connection) == before
