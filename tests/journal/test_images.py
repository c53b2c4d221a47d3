"""Images read back the same, without secrets."""

from sexton.database import scalar
from sexton.journal.recorder import deleting, updating
from tests.support.journals import journalled


def test_an_update_holds_both_rows_as_the_server_has_them(recorded):
    recorder, table = recorded
    change = updating(
        table,
        {"100% 'sure'": "%(new)s", "api_key": "'sk-2'"},
        "this.id = any (%(ids)s)",
        why="because",
        parameters={"new": "y", "ids": [1, 2]},
        returning={"id": "this.id", "twice": "this.twice"},
    )
    made = recorder.make(change)
    assert sorted(made, key=lambda row: row["id"]) == [
        {"id": 1, "twice": 2},
        {"id": 2, "twice": 4},
    ]
    first, second = journalled(recorder.connection)
    assert (first["key"], second["key"]) == ({"id": 1}, {"id": 2})
    assert (first["before"]["100% 'sure'"], first["after"]["100% 'sure'"]) == ("x", "y")
    assert first["before"]["span"] == "1 mon 2 days"
    assert first["before"]["at"] == "infinity"
    assert first["before"]["plain"] == '{"a":  1, "a": 2}'
    assert first["before"][""] == ["binary_json"]
    assert first["before"]["bytes"] == "\\x00ff"
    assert "" not in second["before"]
    assert second["before"]["at"].endswith(" BC")
    assert "twice" not in first["before"]
    amount = "select before ->> 'amount' from sexton.changes where step = 1"
    assert scalar(recorder.connection, amount) == "0.123456789012345678901234567890"


def test_secrets_stay_out_and_what_they_cost_is_said(recorded):
    recorder, table = recorded
    recorder.make(updating(table, {"base_url": "'https://ai.example'"}, "true", why=""))
    recorder.make(deleting(table, "true", why=""))
    whole = str(journalled(recorder.connection))
    assert "sk" not in whole
    assert "secret" not in whole
    withheld = [row["withheld"] for row in journalled(recorder.connection)]
    assert withheld == [["base_url"], [], ["api_key"], []]
    assert "base_url" not in journalled(recorder.connection)[0]["before"]
