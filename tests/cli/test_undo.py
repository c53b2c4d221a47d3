"""`sexton undo` and `sexton history` as their users type them."""

from tests.support import guards as guard
from tests.support.tools import add_model, add_provider, table


def test_nothing_was_ever_done(sexton):
    assert "nothing was ever changed" in sexton("history").stdout
    assert sexton("history", "--format", "json").json == {"runs": []}
    assert sexton("history", "1").code == 2
    assert sexton("undo", "1").code == 2


def test_undo_puts_back_what_the_guard_allows(sexton, connection):
    for name in ("openai", "azure"):
        add_provider(connection, name)
    ids = [add_model(connection, name) for name in ("openai", "azure", "gone")]
    made = sexton("repair", "model_without_provider", "default_missing", "--apply")
    assert made.code == 0
    guard.add(connection)
    back = sexton("undo", "1", "--format", "json")
    assert back.code == 1
    [left] = back.json["left"]
    assert left["key"] == {"id": str(ids[2])}
    assert 'violates foreign key constraint "sexton_guard"' in left["reason"]
    found = {row["id"]: row for row in table(connection, "chat_model_configs")}
    assert [found[id]["deleted"] for id in ids] == [False, False, True]
    assert not any(row["is_default"] for row in found.values())
    again = sexton("undo", "2", "--format", "json")
    assert (again.code, again.json["left"]) == (0, [])


def test_undo_of_nothing_but_what_the_guard_forbids_is_refused(sexton, connection):
    add_provider(connection, "openai")
    orphan = add_model(connection, "gone")
    assert sexton("repair", "model_without_provider", "--apply").code == 0
    guard.add(connection)
    back = sexton("undo", "1")
    assert back.code == 5
    assert 'violates foreign key constraint "sexton_guard"' in back.stderr
    assert "nothing was changed" in back.stderr
    [row] = table(connection, "chat_model_configs")
    assert (row["id"], row["deleted"], row["sexton_live"]) == (orphan, True, None)


def test_the_options_that_an_undo_is_told_of_are_its_own(connection, sexton):
    add_provider(connection, "anthropic", api_key="x")
    add_model(connection, "anthropic", is_default=True)
    add_model(connection, "google")
    assert sexton("repair", "--apply").code == 0
    connection.execute(
        """
        create function nothing() returns trigger language plpgsql
            as 'begin return new; end';
        create trigger meddler before update on chat_model_configs
            for each row execute function nothing();
        """
    )
    result = sexton("undo", "1")
    assert result.code == 5
    assert "sexton: the trigger meddler on chat_model_configs fires at" in result.stderr
    assert "--allow-triggers" in result.stderr
    assert sexton("undo", "1", "--allow-triggers").code == 0
