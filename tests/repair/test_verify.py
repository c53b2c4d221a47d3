"""A cure that does not hold keeps nothing."""

import pytest

from sexton import journal
from sexton.errors import Refused, RepairIncomplete
from sexton.repair.apply import apply_plan
from sexton.repair.plan import Options
from tests.support.repairs import incident, planned, whole


def test_a_cure_that_does_not_hold_keeps_nothing(connection):
    incident(connection)
    plan = planned(connection, "model_without_provider")
    before = whole(connection)
    connection.execute(
        """
        create function undo_it() returns trigger language plpgsql
            as 'begin new.deleted := false; return new; end';
        create trigger meddler before update on chat_model_configs
            for each row when (new.provider = 'openai') execute function undo_it();
        """
    )
    with pytest.raises(Refused, match="the trigger meddler on chat_model_configs fires"):
        apply_plan(connection, plan)
    plan = planned(
        connection, "model_without_provider", options=Options(allow=("triggers",))
    )
    assert [(g.limit, g.lifted) for g in plan.limits] == [("triggers", True)]
    with pytest.raises((RepairIncomplete, Refused)):
        apply_plan(connection, plan)
    assert whole(connection) == before
    assert journal.list_runs(connection) == []
