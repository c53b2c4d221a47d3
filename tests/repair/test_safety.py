"""What makes a plan doubtful is refused unless somebody lifts it."""

import pytest

from sexton import journal
from sexton.errors import Refused
from sexton.repair.apply import apply_plan
from sexton.repair.plan import Options
from tests.support.repairs import incident, orphans, planned, refusal
from tests.support.tools import add_model


def test_hidden_parents_are_refused(connection):
    incident(connection)
    connection.execute(
        "alter table chat_providers enable row level security;"
        "create role sexton_hidden; grant select on all tables in schema public "
        "to sexton_hidden"
    )
    try:
        connection.execute("set role sexton_hidden")
        with pytest.raises(Refused, match="row security may hide rows of chat_providers"):
            planned(connection)
        connection.execute("reset role")
    finally:
        connection.execute("drop owned by sexton_hidden")
        connection.execute("drop role sexton_hidden")


def test_too_many_rows_are_refused(connection):
    orphans(connection, 20)
    options = Options(max_rows=20, max_fraction=1)
    error = refusal(connection, planned(connection, options=options))
    assert "21 rows would change, and 20 is the limit" in error.message
    assert "--max-rows 21" in error.hint
    lifted = planned(connection, options=Options(max_rows=21, max_fraction=1))
    assert apply_plan(connection, lifted).rows == 21


def test_most_of_a_table_is_refused_and_the_lifted_guard_is_in_the_plan(connection):
    orphans(connection, 20)
    error = refusal(connection, planned(connection))
    assert "21 of the 21 rows of chat_model_configs would change" in error.message
    assert "--max-fraction 1" in error.hint
    plan = planned(connection, options=Options(max_fraction=1.0))
    assert [(g.limit, g.lifted) for g in plan.limits] == [("fraction", True)]
    apply_plan(connection, plan)
    assert journal.get_run(connection, 1)["options"]["max_fraction"] == 1.0


def test_an_empty_parent_is_not_believed(connection):
    add_model(connection, "openai")
    error = refusal(connection, planned(connection))
    assert "chat_providers is empty" in error.message
    assert "--allow-empty-parent" in error.hint
    plan = planned(connection, options=Options(allow=("empty-parent",)))
    assert apply_plan(connection, plan).rows == 1


def test_an_unknown_revision_is_refused(connection):
    incident(connection)
    connection.execute("update sexton.alembic_version set version_num = '9999'")
    error = refusal(connection, planned(connection))
    assert "revision 9999, which this Sexton does not know" in error.message
    connection.execute("drop table sexton.alembic_version")
    error = refusal(connection, planned(connection))
    assert "no revision recorded: sexton adopt recognises" in error.message
    assert "--allow-revision" in error.hint
