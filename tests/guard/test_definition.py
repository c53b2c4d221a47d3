"""What a guard holds, and what it lets through."""

from typing import Any

import pytest
from psycopg import errors

from sexton.database import Connection, rows
from tests.support import guards as guard
from tests.support.guards import (
    bury,
    drop_provider,
    guard_refuses,
    orphans,
    revive,
    tombstone,
)
from tests.support.tools import add_model, add_provider, table


def test_a_provider_with_live_models_cannot_be_deleted(guarded):
    add_provider(guarded, "openai")
    add_model(guarded, "openai")
    with guard_refuses():
        drop_provider(guarded, "openai")


def test_a_provider_with_tombstones_alone_can_be_deleted(guarded):
    add_provider(guarded, "openai")
    id = tombstone(guarded, "openai")
    drop_provider(guarded, "openai")
    assert [row["id"] for row in table(guarded, "chat_model_configs")] == [id]


def test_tombstone_and_delete_in_one_transaction(guarded):
    add_provider(guarded, "openai")
    id = add_model(guarded, "openai")
    with guarded.transaction():
        bury(guarded, id)
        drop_provider(guarded, "openai")
    assert not table(guarded, "chat_providers")


def test_tombstone_and_delete_in_one_statement(guarded):
    add_provider(guarded, "openai")
    add_model(guarded, "openai")
    guarded.execute(
        """
        with buried as (
            update chat_model_configs set deleted = true, deleted_at = now()
            where provider = 'openai'
        )
        delete from chat_providers where provider = 'openai'
        """
    )
    assert not table(guarded, "chat_providers")


def test_a_live_insert_under_a_missing_provider_is_refused(guarded):
    with guard_refuses():
        add_model(guarded, "openai")


def test_a_tombstone_may_name_a_missing_provider(guarded):
    tombstone(guarded, "legacy-removed")


def test_reviving_under_a_missing_provider_is_refused(guarded):
    id = tombstone(guarded, "openai")
    with guard_refuses():
        revive(guarded, id)
    add_provider(guarded, "openai")
    revive(guarded, id)
    with guard_refuses():
        drop_provider(guarded, "openai")


def test_a_live_model_cannot_move_to_a_missing_provider(guarded):
    add_provider(guarded, "openai")
    id = add_model(guarded, "openai")
    with guard_refuses():
        guarded.execute("update chat_model_configs set provider = 'azure'")
    bury(guarded, id)
    guarded.execute("update chat_model_configs set provider = 'azure'")


def test_a_provider_with_live_models_cannot_be_renamed(guarded):
    add_provider(guarded, "openai")
    add_model(guarded, "openai")
    with guard_refuses():
        guarded.execute("update chat_providers set provider = 'azure'")


def test_a_provider_and_its_models_are_renamed_in_one_statement(guarded):
    add_provider(guarded, "openai")
    add_model(guarded, "openai")
    guarded.execute(
        """
        with moved as (update chat_model_configs set provider = 'azure')
        update chat_providers set provider = 'azure'
        """
    )
    assert orphans(guarded) == 0


def test_a_provider_with_tombstones_alone_can_be_renamed(guarded):
    add_provider(guarded, "openai")
    tombstone(guarded, "openai")
    guarded.execute("update chat_providers set provider = 'azure'")


def test_nobody_needs_to_know_of_the_columns_and_nobody_can_spoil_them(guarded):
    add_provider(guarded, "openai")
    live = add_model(guarded, "openai", sexton_live=None)
    dead = tombstone(guarded, "openai", sexton_live=True)
    guarded.execute("update chat_model_configs set sexton_live = not deleted")
    found = {r["id"]: r["sexton_live"] for r in table(guarded, "chat_model_configs")}
    assert found == {live: True, dead: None}
    with pytest.raises(errors.CheckViolation):
        guarded.execute("update chat_providers set sexton_live = false")


COLUMNS = "provider, model, context_limit, compression_threshold, deleted, deleted_at"


def copy(connection: Connection, *lines: Any) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"copy chat_model_configs ({COLUMNS}) from stdin") as rows,
    ):
        for line in lines:
            rows.write_row(line)


def test_copy_marks_tombstones_and_is_checked(guarded):
    add_provider(guarded, "openai")
    copy(
        guarded,
        ("openai", "m", 1, 1, False, None),
        ("legacy-removed", "m", 1, 1, True, "2026-01-01"),
    )
    with guard_refuses():
        copy(guarded, ("azure", "m", 1, 1, False, None))


def test_on_conflict_do_update_is_checked(guarded):
    id = tombstone(guarded, "openai")
    upsert = """
        insert into chat_model_configs (
            id, provider, model, context_limit, compression_threshold
        ) values (%s, 'openai', 'm', 1, 1)
        on conflict (id) do update set deleted = false, deleted_at = null
    """
    with guard_refuses():
        guarded.execute(upsert, (id,))
    add_provider(guarded, "openai")
    guarded.execute(upsert, (id,))
    assert table(guarded, "chat_model_configs")[0]["sexton_live"] is True


def test_on_conflict_with_the_one_default_works(guarded):
    add_provider(guarded, "openai")
    add_model(guarded, "openai", is_default=True)
    done = guarded.execute(
        """
        insert into chat_model_configs (
            provider, model, context_limit, compression_threshold, is_default
        ) values ('openai', 'n', 1, 1, true)
        on conflict ((1)) where is_default and not deleted do nothing
        """
    )
    assert done.rowcount == 0


def test_as_a_replica_the_mark_is_kept_but_no_key_is_checked(guarded):
    """As with every key: what a replication worker writes is believed."""
    guarded.execute("set session_replication_role = replica")
    dead = add_model(guarded, "openai")
    bury(guarded, dead)
    add_model(guarded, "azure")
    guarded.execute("reset session_replication_role")
    marks = rows(guarded, "select provider, sexton_live from chat_model_configs order by 1")
    assert [tuple(row.values()) for row in marks] == [("azure", True), ("openai", None)]
    assert orphans(guarded) == 1


def test_without_the_trigger_the_check_refuses_a_wrong_mark(guarded):
    add_provider(guarded, "openai")
    id = add_model(guarded, "openai")
    guarded.execute('alter table chat_model_configs disable trigger "~sexton_live"')
    with pytest.raises(errors.CheckViolation) as refusal:
        bury(guarded, id)
    assert refusal.value.diag.constraint_name == "sexton_live"


def test_the_column_deleted_cannot_be_dropped_under_the_guard(guarded):
    with pytest.raises(errors.DependentObjectsStillExist):
        guarded.execute("alter table chat_model_configs drop column deleted")
    guard.remove(guarded)
    guarded.execute("alter table chat_model_configs drop column deleted")


def test_the_provider_table_cannot_be_dropped_under_the_guard(guarded):
    guarded.execute(
        "alter table user_chat_provider_keys "
        "drop constraint user_chat_provider_keys_chat_provider_id_fkey"
    )
    with pytest.raises(errors.DependentObjectsStillExist):
        guarded.execute("drop table chat_providers")
    guard.remove(guarded)
    guarded.execute("drop table chat_providers")
