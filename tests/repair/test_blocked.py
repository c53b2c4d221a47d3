"""Who is in the way of a repair is named."""

import re

import pytest

from sexton.database import REPAIR
from sexton.errors import Busy
from sexton.repair.apply import apply_plan
from tests.support.repairs import incident, planned, whole


@pytest.mark.usefixtures("quick")
def test_a_row_that_stays_locked_is_busy_and_says_who(connection, other):
    _, orphan, _ = incident(connection)
    plan = planned(connection)
    before = whole(connection)
    with other.transaction():
        other.execute("select from chat_model_configs where id = %s for update", (orphan,))
        with pytest.raises(Busy) as error:
            apply_plan(connection, plan)
    assert re.search(
        rf"locks on its tables are held by pid {other.info.backend_pid}, "
        rf"{other.info.user} \(nightly report\), idle in transaction, [\d.]+ m?s old, "
        "holds row share on chat_model_configs",
        error.value.message,
    )
    assert "nothing was changed" in str(error.value.hint)
    assert whole(connection) == before


def test_another_repair_is_named(connection, other):
    incident(connection)
    plan = planned(connection)
    with other.transaction():
        other.execute("select pg_advisory_xact_lock(%s)", (REPAIR,))
        with pytest.raises(Busy, match=r"another repair .*: pid \d+, .*nightly report"):
            apply_plan(connection, plan)
