"""What a preview says is what the deed does, over generated databases."""

import contextlib
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sexton.chat import models, providers, reassign
from sexton.database import connect, rows, snapshot, transact
from sexton.errors import SextonError
from sexton.reporters import json
from tests.support.tools import add_chat, add_model, add_provider, table
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


DEEDS: dict[str, Any] = {
    "delete": (providers.preview_deletion, providers.delete_provider, {}),
    "disable": (providers.preview_switch, providers.switch_provider, {"enabled": False}),
    "enable": (providers.preview_switch, providers.switch_provider, {"enabled": True}),
    "restore": (providers.preview_restoration, providers.restore_provider, {}),
    "delete a model": (models.preview_removal, models.delete_model, {}),
}


@pytest.mark.parametrize("deed", DEEDS)
@settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(world=worlds, place=st.integers(0, 6), heir=HEIRS)
def test_the_preview_is_the_deed(world_connection, deed, world, place, heir):
    connection = world_connection
    ids = build(connection, world)
    preview, act, options = DEEDS[deed]
    if isinstance(heir, int):
        heir = str(ids[heir % len(ids)]) if ids else "nobody"
    if deed == "delete a model":
        if not ids:
            return
        subject = ids[place % len(ids)]
    else:
        subject = world["providers"][place % len(world["providers"])][0]
    with snapshot(connection):
        promised = ended(lambda: preview(connection, subject, heir=heir, **options))
    before = {row["id"]: row for row in table(connection, "chat_model_configs")}
    default = models.get_default(connection)
    made = ended(
        lambda: transact(connection, lambda: act(connection, subject, heir=heir, **options))
    )
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
    now = models.get_default(connection)
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
def test_the_preview_of_reassigning_is_the_deed(world_connection, world, source, target):
    ids = build(world_connection, world)
    if not ids:
        return
    one, other = ids[source % len(ids)], ids[target % len(ids)]
    with snapshot(world_connection):
        promised = ended(
            lambda: reassign.preview_reassignment(world_connection, one, other)
        )
    made = ended(
        lambda: transact(
            world_connection, lambda: reassign.reassign(world_connection, one, other)
        )
    )
    assert promised == made
    if isinstance(made, str):
        with snapshot(world_connection):
            left = reassign.preview_reassignment(world_connection, one, other)
        assert (left.chats, left.overrides, left.queued_messages) == (0, 0, 0)


@pytest.mark.parametrize("deed", ["delete", "disable", "delete a model"])
def test_a_preview_needs_select_alone_and_takes_no_row_lock(
    url, connection, administrator, deed
):
    connection.execute(SETTINGS)
    add_provider(connection, "openai")
    model = add_model(connection, "openai", is_default=True)
    chat = add_chat(connection, model, status="running")
    connection.execute("insert into chat_queued_messages (chat_id) values (%s)", (chat,))
    role = f"reader_{connection.info.backend_pid}"
    administrator.execute(f"create role {role} login")
    connection.execute(f"grant select on all tables in schema public to {role}")
    try:
        parameters = psycopg.conninfo.make_conninfo(url, user=role)
        with contextlib.closing(connect(parameters, name="reader")) as reader:
            preview, _, options = DEEDS[deed]
            subject = model if deed == "delete a model" else "openai"
            with connection.transaction():
                # The other one holds every row, and waits for nobody.
                connection.execute("select from chat_model_configs for update")
                connection.execute("select from chat_providers for update")
                with snapshot(reader):
                    reader.execute("set local lock_timeout = '100ms'")
                    seen = preview(reader, subject, **options)
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
    seen = providers.preview_deletion(connection, "openai")
    late = add_model(connection, "openai", "late")
    add_chat(connection, late)
    deletion = transact(
        connection, lambda: providers.delete_provider(connection, "openai", counted=seen)
    )
    assert deletion.references.chats == 2
