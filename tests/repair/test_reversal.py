"""Whatever moved since is left alone."""

import json

from sexton.repair import reversal
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


def test_no_row_of_one_run_is_held_against_all_of_the_other(connection, monkeypatch):
    """As it was where statistics were taken between a repair and its undo."""
    incident(connection)
    connection.execute(
        """
        insert into chat_model_configs
            (provider, model, context_limit, compression_threshold)
        select 'gone', 'model ' || n, 200000, 70 from generate_series(1, 1500) as n
        """
    )
    made = apply_plan(connection, planned(connection, max_fraction=1.0, max_rows=9999))
    connection.execute("analyze sexton.changes")
    # Sorting is dear, as it is of many more rows, and the index's order is at hand.
    connection.execute("set cpu_operator_cost = 1")
    connection.execute("set random_page_cost = 0.001")
    asked = []

    def explained(connection, query, *parameters):
        if "sexton.changes u" in query:
            [plan] = rows(
                connection, f"explain (analyze, format json) {query}", *parameters
            )
            asked.append(json.dumps(plan))
        return rows(connection, query, *parameters)

    rows = reversal.rows
    monkeypatch.setattr(reversal, "rows", explained)
    assert undo_run(connection, 1).rows == made.rows > 1500
    assert len(asked) == 2
    for plan in asked:
        removed = plan.split('"Rows Removed by Join Filter": ')[1:]
        assert sum(int(part.split(",")[0].split("}")[0]) for part in removed) < 5000
        assert '"Hash' in plan or '"Merge' in plan or "hashed SubPlan" in plan
