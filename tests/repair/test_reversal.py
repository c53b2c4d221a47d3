"""Whatever moved since is left alone."""

from sexton.repair.apply import apply_plan
from sexton.repair.undo import undo_run
from tests.support.repairs import incident, planned
from tests.support.tools import table


def test_undo_leaves_alone_what_moved_since(connection):
    _, orphan, half = incident(connection)
    apply_plan(connection, planned(connection))
    connection.execute(
        "update chat_model_configs set display_name = 'x', updated_at = now() "
        "where id = %s",
        (orphan,),
    )
    undone = undo_run(connection, 1)
    assert undone.rows == 2
    assert undone.left == [
        {
            "table": "chat_model_configs",
            "key": {"id": str(orphan)},
            "reason": "it is not as the run left it",
        }
    ]
    found = {row["id"]: row for row in table(connection, "chat_model_configs")}
    assert found[orphan]["display_name"] == "x"
    assert found[half]["deleted_at"] is None


def test_undo_leaves_alone_what_is_in_the_way_of_another_row(connection):
    heir, orphan, _ = incident(connection)
    apply_plan(connection, planned(connection))
    # The heir was touched, so it stays the default, and there can be only one.
    connection.execute(
        "update chat_model_configs set updated_at = now() where id = %s", (heir,)
    )
    undone = undo_run(connection, 1)
    assert undone.rows == 1
    reasons = {row["key"]["id"]: row["reason"] for row in undone.left}
    assert reasons[str(heir)] == "it is not as the run left it"
    assert "idx_chat_model_configs_single_default" in reasons[str(orphan)]
