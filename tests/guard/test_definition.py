"""What a guard holds, and what it lets through."""

import contextlib
import threading
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel, errors

from sexton.database import Connection, connect, rows
from tests.support import guards as guard
from tests.support.guards import (
    TABLES,
    bury,
    drop_provider,
    guard_refuses,
    orphans,
    program,
    revive,
    tombstone,
    wait_until_blocked,
)
from tests.support.tools import add_model, add_provider, second_connection, table


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


@pytest.mark.parametrize("level", list(IsolationLevel)[1:], ids=lambda x: x.name)
@pytest.mark.parametrize("first", ["insert", "delete"])
@pytest.mark.parametrize("change", ["insert", "revive", "move"])
def test_no_order_of_a_write_and_a_deletion_makes_an_orphan(
    guarded, other, guarded_url, level, first, change
):
    add_provider(guarded, "openai")
    add_provider(guarded, "azure")
    dead = tombstone(guarded, "openai")
    away = add_model(guarded, "azure")

    def write(connection):
        if change == "insert":
            add_model(connection, "openai")
        elif change == "revive":
            revive(connection, dead)
        else:
            connection.execute(
                "update chat_model_configs set provider = 'openai' where id = %s", (away,)
            )

    def delete(connection):
        drop_provider(connection, "openai")

    one, two = (write, delete) if first == "insert" else (delete, write)
    guarded.isolation_level = other.isolation_level = level
    failed: list[Exception] = []

    def second():
        try:
            with other.transaction():
                # The snapshot is older than the first one's commit.
                other.execute("select count(*) from chat_providers")
                seen.set()
                begun.wait(10)
                two(other)
        except psycopg.Error as error:
            failed.append(error)

    seen, begun = threading.Event(), threading.Event()
    thread = threading.Thread(target=second)
    with contextlib.closing(second_connection(guarded_url)) as third:
        thread.start()
        assert seen.wait(10)
        with guarded.transaction():
            one(guarded)
            begun.set()
            wait_until_blocked(third, other.info.backend_pid)
        thread.join(10)
        assert not thread.is_alive()
        assert orphans(third) == 0
    [error] = failed
    assert isinstance(error, errors.ForeignKeyViolation | errors.SerializationFailure)


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
    guarded.execute("alter table chat_model_configs disable trigger sexton_guard")
    with pytest.raises(errors.CheckViolation) as refusal:
        bury(guarded, id)
    assert refusal.value.diag.constraint_name == "sexton_guard_marker"


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


@pytest.mark.parametrize("form", ["plain", "inserts", "custom"])
def test_a_dump_restores_the_guard(guarded, guarded_url, database, form):
    add_provider(guarded, "openai")
    id = add_model(guarded, "openai")
    dead = tombstone(guarded, "legacy-removed")
    before = table(guarded, "chat_model_configs")
    target = database("empty")
    options = {"plain": [], "inserts": ["--inserts"], "custom": ["-Fc"]}[form]
    # The product's schema alone: the guard needs nothing of the schema sexton.
    dumped = program("pg_dump", *options, "-N", "sexton", "-d", guarded_url)
    if form == "custom":
        program("pg_restore", "-d", target, "--no-owner", stdin=dumped)
    else:
        program("psql", "-q", "-X", "-d", target, stdin=dumped)
    with contextlib.closing(connect(target, name="tests")) as restored:
        assert guard.status(restored)["guard"] == "set"
        assert table(restored, "chat_model_configs") == before
        with guard_refuses():
            drop_provider(restored, "openai")
        with guard_refuses():
            revive(restored, dead)
        bury(restored, id)


def test_data_of_before_the_guard_restores_into_it(guarded_url, guarded, url, connection):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    tombstone(connection, "legacy-removed")
    # Without a key among them, pg_dump does not know which table must come first.
    for name in TABLES:
        dumped = program("pg_dump", "--data-only", "-t", name, "-d", url)
        program("psql", "-q", "-X", "-d", guarded_url, stdin=dumped)
    marks = rows(guarded, "select provider, sexton_live from chat_model_configs order by 1")
    assert [tuple(row.values()) for row in marks] == [
        ("legacy-removed", None),
        ("openai", True),
    ]
