"""What is shown beforehand is what is done."""

import contextlib
import functools
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sexton.chat import operation, queries
from sexton.chat.deletion import DeleteProvider, RestoreProvider
from sexton.chat.models import DeleteModel
from sexton.chat.providers import SwitchProvider
from sexton.chat.reassign import Reassign
from sexton.chat.transaction import reading
from sexton.database import connect, rows, snapshot
from sexton.errors import SextonError
from sexton.reporters import json
from tests.support.tools import add_chat, add_model, add_provider, login, table
from tests.support.worlds import SETTINGS, build, worlds

HEIRS = st.sampled_from(["usable", "first", "none"]) | st.integers(0, 6)


@pytest.fixture
def world_connection(connection):
    connection.execute(SETTINGS)
    return connection


def ended(work):
    """The document, or the error as a command would print it."""
    try:
        return json.render(work().document())
    except SextonError as error:
        return type(error).__name__, error.message


OPERATIONS: dict[str, Any] = {
    "delete": DeleteProvider,
    "disable": functools.partial(SwitchProvider, enabled=False),
    "enable": functools.partial(SwitchProvider, enabled=True),
    "restore": RestoreProvider,
    "delete a model": DeleteModel,
}


def test_where_there_was_no_default_the_journal_says_when(connection):
    add_provider(connection, "openai", enabled=False)
    add_model(connection, "openai")
    operation.run(connection, SwitchProvider("openai", enabled=True))
    said = {row["why"] for row in rows(connection, "select why from sexton.changes")}
    assert "there was no default when openai was switched" in said


def default_of(connection):
    with reading(connection) as tx:
        return queries.get_default_model(tx)


@pytest.mark.parametrize("kind", OPERATIONS)
@settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(world=worlds, index=st.integers(0, 6), heir=HEIRS)
def test_the_preview_is_what_is_done(world_connection, kind, world, index, heir):
    connection = world_connection
    ids = build(connection, world)
    if isinstance(heir, int):
        heir = str(ids[heir % len(ids)]) if ids else "nobody"
    if kind == "delete a model":
        if not ids:
            return
        subject = ids[index % len(ids)]
    else:
        subject = world["providers"][index % len(world["providers"])][0]
    wanted = OPERATIONS[kind](subject, heir=heir)
    promised = ended(lambda: operation.preview(connection, wanted))
    before = {row["id"]: row for row in table(connection, "chat_model_configs")}
    default = default_of(connection)
    made = ended(lambda: operation.run(connection, wanted))
    assert promised == made
    if isinstance(made, str):
        check_rows(connection, made, before, default)


def check_rows(connection, made, before, default):
    """The document is what happened to the rows."""
    import json as plain

    document = plain.loads(made)
    after = {row["id"]: row for row in table(connection, "chat_model_configs")}
    died = {str(id) for id, row in after.items() if row["deleted"] > before[id]["deleted"]}
    rose = {str(id) for id, row in after.items() if row["deleted"] < before[id]["deleted"]}
    gone = document.get("tombstoned")
    gone = [document["model"]["id"]] if gone is None and "model" in document else gone
    assert died == set(gone or [])
    assert rose == set(document.get("restored", []))
    now = default_of(connection)
    if document["heir"]:
        assert now
        assert str(now["id"]) == document["heir"]["id"]
    else:
        kept = default if default and str(default["id"]) not in died else None
        assert (now and now["id"]) == (kept and kept["id"])


@settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(world=worlds, source=st.integers(0, 6), target=st.integers(0, 6))
def test_the_preview_of_reassigning_is_what_is_done(
    world_connection, world, source, target
):
    ids = build(world_connection, world)
    if not ids:
        return
    one, other = ids[source % len(ids)], ids[target % len(ids)]
    wanted = Reassign(one, other)
    promised = ended(lambda: operation.preview(world_connection, wanted))
    made = ended(lambda: operation.run(world_connection, wanted))
    assert promised == made
    if isinstance(made, str):
        left = operation.preview(world_connection, wanted)
        assert (left.chats, left.moving, left.queued_messages) == (0, [], 0)


@pytest.mark.parametrize("kind", ["delete", "disable", "delete a model"])
def test_a_preview_needs_select_alone_and_takes_no_row_lock(
    url, connection, administrator, kind
):
    connection.execute(SETTINGS)
    add_provider(connection, "openai")
    model = add_model(connection, "openai", is_default=True)
    chat = add_chat(connection, model, status="running")
    connection.execute("insert into chat_queued_messages (chat_id) values (%s)", (chat,))
    role = f"reader_{connection.info.backend_pid}"
    administrator.execute(f"create role {role} {login(administrator)}")
    connection.execute(f"grant select on all tables in schema public to {role}")
    try:
        parameters = psycopg.conninfo.make_conninfo(url, user=role)
        with contextlib.closing(connect(parameters, name="reader")) as reader:
            wanted = OPERATIONS[kind](model if kind == "delete a model" else "openai")
            with connection.transaction():
                # The other one holds every row, and waits for nobody.
                connection.execute("select from chat_model_configs for update")
                connection.execute("select from chat_providers for update")
                with snapshot(reader):
                    reader.execute("set local lock_timeout = '100ms'")
                    seen = operation.preview(reader, wanted)
                    held = rows(
                        connection,
                        """
                        select mode from pg_locks
                        where pid = %s and locktype in ('relation', 'tuple', 'advisory')
                          and mode <> 'AccessShareLock'
                        """,
                        reader.info.backend_pid,
                    )
            assert held == []
            assert (seen.references.chats, seen.references.in_flight_chats) == (1, 1)
    finally:
        connection.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")


def test_counts_are_taken_over_only_for_the_same_models(connection):
    add_provider(connection, "openai")
    model = add_model(connection, "openai")
    add_chat(connection, model)
    seen = operation.preview(connection, DeleteProvider("openai"))
    late = add_model(connection, "openai", "late")
    add_chat(connection, late)
    deletion = operation.run(connection, DeleteProvider("openai"), seen=seen)
    assert deletion.references.chats == 2
