"""The journal says who did what to which row."""

from sexton import journal
from sexton.database import scalar
from sexton.repair.apply import apply_plan
from tests.support.repairs import incident, planned


def test_the_journal_says_who_did_what_to_which_row(connection):
    heir, orphan, _ = incident(connection)
    plan = planned(connection, "model_without_provider")
    apply_plan(connection, plan, actor="ann")
    [run] = journal.list_runs(connection)
    assert (run["actor"], run["kind"], run["plan"]) == ("ann", "repair", plan.id)
    assert (run["rows"], run["undone_by"]) == (2, None)
    assert run["role"] == scalar(connection, "select current_user")
    assert run["options"]["digest"] == plan.digest
    first, second = journal.list_changes(connection, 1)
    assert first["check"] == "model_without_provider"
    assert first["key"] == {"id": str(orphan)}
    assert (first["before"]["deleted"], first["after"]["deleted"]) == (False, True)
    now = {c["after"]["updated_at"] for c in (first, second)}
    assert now == {first["after"]["deleted_at"]}
    assert second["key"] == {"id": str(heir)}
