"""Reassigning: what is open moves, and history stays."""

import uuid

import pytest

from sexton.chat.reassign import Reassign
from sexton.database import rows, scalar
from sexton.errors import NotFound, Refused, UsageError
from tests.support.tools import add_chat, add_message, do, table
from tests.support.worlds import SETTINGS, add_override


def test_what_is_open_moves_and_history_stays(connection, graves):
    connection.execute(SETTINGS)
    old, new = graves["tombstone"], graves["usable"]
    moving = add_chat(connection, old, status="running")
    staying = add_chat(connection, old, archived=True)
    add_message(connection, moving, old)
    for index, kind in enumerate(("site", "advisor", "personal", "pct")):
        add_override(connection, kind, index, old)
    done = do(connection, Reassign, old, new)
    assert (done.chats, done.in_flight_chats, len(done.moving)) == (1, 1, 4)
    used = {row["id"]: row["last_model_config_id"] for row in table(connection, "chats")}
    assert used == {moving: new, staying: old}
    assert scalar(connection, "select model_config_id from chat_messages") == old
    values = str(
        rows(connection, "table site_configs") + rows(connection, "table user_configs")
    )
    assert str(old) not in values
    assert values.count(str(new)) == 4
    assert '"max_uses": 3' in values


def test_a_users_own_threshold_is_not_overwritten(connection, graves):
    connection.execute(SETTINGS)
    old, new = graves["tombstone"], graves["usable"]
    user = uuid.uuid4()
    for id, percent in ((old, "10"), (new, "90")):
        connection.execute(
            "insert into user_configs values (%s, %s, %s)",
            (user, f"chat_compaction_threshold_pct:{id}", percent),
        )
    done = do(connection, Reassign, old, new)
    assert (len(done.moving), done.kept) == (0, 1)
    kept = rows(connection, "select value from user_configs order by value")
    assert [row["value"] for row in kept] == ["10", "90"]


def test_only_a_usable_model_can_take_over(connection, graves):
    for kind in ("disabled", "under a disabled provider", "orphan", "tombstone"):
        with pytest.raises((Refused, NotFound)):
            do(connection, Reassign, graves["usable"], graves[kind])
    with pytest.raises(UsageError):
        do(connection, Reassign, graves["usable"], graves["usable"])
