"""The guard: what it holds, what it lets through, and how it comes and goes."""

import contextlib
import itertools
import os
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg import IsolationLevel, errors

from sexton.chat.deletion import DeleteProvider
from sexton.chat.models import promote
from sexton.chat.operation import run
from sexton.database import Connection, connect, rows, scalar, transact
from sexton.ddl import execution
from sexton.embedded.programs import wheel
from sexton.engine import engine
from sexton.errors import Busy, Refused, SextonError, WrongSchema
from sexton.guard import guard, parts
from sexton.schema import revision
from sexton.upgrade.route import find_route
from sexton.upgrade.run import Options, config, downgrade, upgrade
from sexton.upgrade.script import script
from tests.conftest import origin
from tests.support.killing import EVERY, kill_process, kill_session, lived_through
from tests.support.tools import (
    Cli,
    add_chat,
    add_model,
    add_provider,
    second_connection,
    table,
)

TABLES = ("chat_providers", "chat_model_configs")
_number = itertools.count()


@pytest.fixture(scope="session")
def guarded_template(administrator, template):
    name = f"sexton_template_guarded_{os.getpid()}"
    administrator.execute(f"create database {name} template {template('head')}")
    with contextlib.closing(connect(origin().url(name), name="tests")) as connection:
        guard.add(connection)
    yield name
    administrator.execute(f"drop database {name} with (force)")


@pytest.fixture
def guarded_url(administrator, guarded_template):
    """A fresh database at head, with the guard set."""
    name = f"sexton_guarded_{os.getpid()}_{next(_number)}"
    administrator.execute(f"create database {name} template {guarded_template}")
    yield origin().url(name)
    administrator.execute(f"drop database {name} with (force)")


@pytest.fixture
def guarded(guarded_url):
    with contextlib.closing(connect(guarded_url, name="tests")) as opened:
        yield opened


@pytest.fixture
def other(guarded_url):
    with contextlib.closing(second_connection(guarded_url)) as opened:
        yield opened


def tombstone(
    connection: Connection, provider: str, model: str = "t", **columns: Any
) -> Any:
    return add_model(
        connection, provider, model, deleted=True, deleted_at="2026-01-01", **columns
    )


def bury(connection: Connection, id: Any) -> None:
    connection.execute(
        "update chat_model_configs set deleted = true, deleted_at = now() where id = %s",
        (id,),
    )


def revive(connection: Connection, id: Any) -> None:
    connection.execute(
        "update chat_model_configs set deleted = false, deleted_at = null where id = %s",
        (id,),
    )


def drop_provider(connection: Connection, name: str) -> None:
    connection.execute("delete from chat_providers where provider = %s", (name,))


def orphans(connection: Connection) -> int:
    return scalar(  # type: ignore[no-any-return]
        connection,
        """
        select count(*) from chat_model_configs c
        where not c.deleted
          and not exists (select from chat_providers p where p.provider = c.provider)
        """,
    )


@contextlib.contextmanager
def guard_refuses() -> Iterator[None]:
    with pytest.raises(errors.ForeignKeyViolation) as refusal:
        yield
    assert refusal.value.diag.constraint_name == "sexton_guard"


def storage(connection: Connection) -> Any:
    return rows(
        connection,
        "select relname, relfilenode from pg_class where relname = any (%s) order by 1",
        list(TABLES),
    )


# -- what it holds ---------------------------------------------------------------------


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


def wait_until_blocked(connection: Connection, pid: int) -> None:
    give_up = threading.Event()
    for _ in range(1000):
        if scalar(connection, "select cardinality(pg_blocking_pids(%s)) > 0", pid):
            return
        give_up.wait(0.01)
    raise AssertionError("nobody waits")


# -- the ways in that are not plain statements -----------------------------------------

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


def program(name: str, *arguments: str, stdin: bytes | None = None) -> bytes:
    done = subprocess.run(
        [wheel() / "bin" / name, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
    )
    # A newer pg_dump sets parameters that an older server does not know.
    said = [line for line in done.stderr.decode().splitlines() if "ERROR" in line]
    assert [line for line in said if "unrecognized configuration" not in line] == []
    return done.stdout


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


# -- the product beside it -------------------------------------------------------------


def product(connection: Connection) -> list[Any]:
    """The product's own statements, in the order of its transactions (domain facts)."""
    said: list[Any] = []

    def run(statement, *parameters):
        try:
            cursor = connection.execute(statement, parameters or None)
            said.append(cursor.fetchall() if cursor.description else cursor.rowcount)
        except psycopg.Error as error:
            said.append(error.sqlstate)

    lock = "select id, provider from chat_providers where provider = %s for update"
    create = """
        insert into chat_model_configs (
            provider, model, display_name, enabled, is_default, context_limit,
            compression_threshold, options
        ) values (%s, %s, '', true, %s, 1000, 70, '{}')
        returning provider, model, is_default, deleted
    """
    unset = """
        update chat_model_configs set is_default = false, updated_at = now()
        where is_default and not deleted
    """
    elect = """
        update chat_model_configs
        set is_default = true, updated_by = null, updated_at = now()
        where not deleted and id = (
            select id from chat_model_configs where not deleted
            order by provider, model, updated_at desc, id desc limit 1
        )
    """
    for name in ("openai", "azure", "anthropic"):
        run("insert into chat_providers (provider) values (%s)", name)
    for provider, model, default in (
        *(("openai", "a", True), ("openai", "b", False), ("azure", "c", False)),
    ):
        with connection.transaction():
            run(lock, provider)
            run(create, provider, model, default)
    run(create, "openai", "d", True)  # a second default: 23505
    run("insert into chat_providers (provider) values ('openai')")  # 23505
    with connection.transaction():  # an update writes every column
        run(lock, "anthropic")
        run(
            """
            update chat_model_configs set
                provider = 'anthropic', model = 'e', display_name = 'E',
                updated_by = null, enabled = false, is_default = false,
                context_limit = 2000, compression_threshold = 0, options = '{}',
                updated_at = now()
            where model = 'b' and not deleted
            returning provider, model, enabled, deleted
            """
        )
    run(
        "update chat_providers set enabled = false, updated_at = now() "
        "where provider = 'azure'"
    )
    with connection.transaction():  # delete a config: without a guard on deleted
        run(
            "update chat_model_configs set deleted = true, deleted_at = now(), "
            "updated_at = now() where model = 'c'"
        )
    for name in ("openai", "anthropic"):
        with connection.transaction():
            run("select id from chat_providers where provider = %s for update", name)
            run(
                """
                update chat_model_configs
                set deleted = true, deleted_at = now(), updated_at = now()
                where provider = %s and deleted = false
                """,
                name,
            )
            run(unset)
            run(elect)
            run("delete from chat_providers where provider = %s", name)
    run("insert into chat_providers (provider) values ('openai')")  # created again
    run(
        """
        select c.provider, c.model from chat_model_configs c
        join chat_providers p on p.provider = c.provider
        where p.enabled and c.enabled and not c.deleted order by 1, 2
        """
    )
    run(
        "select provider, model, enabled, is_default, deleted, deleted_at is null as at "
        "from chat_model_configs order by model"
    )
    return [
        [{k: v for k, v in row.items() if k != "id"} for row in rows]
        if isinstance(rows, list)
        else rows
        for rows in said
    ]


def test_the_products_own_statements_run_as_without_it(connection, guarded):
    without, beside = product(connection), product(guarded)
    assert without == beside
    assert "23505" in without
    assert not {"23503", "23514"} & {x for x in beside if isinstance(x, str)}


def test_a_plain_writer_needs_no_new_right(guarded, administrator):
    role = f"sexton_writer_{os.getpid()}"
    administrator.execute(f"create role {role}")
    try:
        guarded.execute("drop schema if exists sexton cascade")
        guarded.execute(
            f"grant select, insert, update, delete on all tables in schema public to {role}"
        )
        guarded.execute(f"set role {role}")
        add_provider(guarded, "openai")
        bury(guarded, add_model(guarded, "openai"))
        tombstone(guarded, "azure")
        drop_provider(guarded, "openai")
        with guard_refuses():
            add_model(guarded, "openai")
    finally:
        guarded.execute("reset role")
        guarded.execute(f"drop owned by {role}")
        administrator.execute(f"drop role {role}")


def test_sextons_life_cycle_works_under_it(guarded):
    for name in ("openai", "azure"):
        add_provider(guarded, name)
    gone = add_model(guarded, "openai", is_default=True)
    heir = add_model(guarded, "azure")
    add_chat(guarded, gone)
    deletion = run(guarded, DeleteProvider("openai"))
    assert deletion.heir
    assert deletion.heir["id"] == heir
    other = add_model(guarded, "azure", "n")
    transact(guarded, lambda: promote(guarded, other))
    assert {r["id"]: r["sexton_live"] for r in table(guarded, "chat_model_configs")} == {
        gone: None,
        heir: True,
        other: True,
    }


# -- how it comes ----------------------------------------------------------------------


def test_add_sets_it_without_rewriting_a_table(connection):
    add_provider(connection, "openai")
    add_model(connection, "openai")
    before = storage(connection)
    assert guard.status(connection)["guard"] == "none"
    assert len(guard.add(connection)) == len(parts.ADD) - 2  # no tombstone, no other key
    assert guard.status(connection)["guard"] == "set"
    assert guard.status(connection)["constraint"] == "sexton_guard"
    assert storage(connection) == before


def test_add_again_does_nothing(guarded):
    assert guard.add(guarded) == []


def test_add_marks_the_tombstones_that_are_there(connection):
    add_provider(connection, "openai")
    live = add_model(connection, "openai")
    dead = tombstone(connection, "legacy-removed")
    guard.add(connection)
    found = {r["id"]: r["sexton_live"] for r in table(connection, "chat_model_configs")}
    assert found == {live: True, dead: None}


def test_add_marks_around_a_tombstone_that_somebody_is_writing(connection, url):
    busy, free = tombstone(connection, "a"), tombstone(connection, "b")
    marked = "select sexton_live is null from chat_model_configs where id = %s"
    worker = threading.Thread(target=lambda: guard.add(connection))
    with contextlib.closing(second_connection(url)) as watch:
        with contextlib.closing(second_connection(url)) as writer, writer.transaction():
            # The strong locks must come through first: write after the column is there.
            watch.execute("create table go (i int)")
            worker.start()
            wait_for(
                watch,
                "select count(*) = 1 from pg_attribute where attname = "
                "'sexton_live' and attrelid = 'chat_model_configs'::regclass",
            )
            writer.execute(
                "select from chat_model_configs where id = %s for update", (busy,)
            )
            wait_for(watch, marked, free)
        worker.join(20)
        assert not worker.is_alive()
        assert scalar(watch, marked, busy)
        assert guard.status(watch)["guard"] == "set"


def wait_for(connection: Connection, query: Any, *parameters: Any) -> None:
    tick = threading.Event()
    for _ in range(2000):
        if scalar(connection, query, *parameters):
            return
        tick.wait(0.005)
    raise AssertionError(f"never true: {query}")


def test_add_is_refused_while_live_models_are_orphans(connection):
    id = add_model(connection, "openai")
    tombstone(connection, "azure")
    with pytest.raises(Refused) as refusal:
        guard.add(connection)
    assert refusal.value.message == (
        "1 live model configs are orphans: there is no provider 'openai'"
    )
    assert "sexton repair model_without_provider" in str(refusal.value.hint)
    assert guard.status(connection)["guard"] == "none"
    bury(connection, id)
    guard.add(connection)


def test_an_orphan_that_comes_in_between_is_named_and_no_second_one_can_come(connection):
    for step in parts.ADD[:-2]:
        execution.run(connection, [step])
    id = add_model(connection, "openai")
    with pytest.raises(Refused, match="1 live model configs are orphans"):
        guard.add(connection)
    execution.run(connection, [parts.ADD[-2]])
    with guard_refuses():
        add_model(connection, "openai")
    bury(connection, id)
    guard.add(connection)
    assert guard.status(connection)["guard"] == "set"


def test_add_needs_tombstones(database):
    with (
        contextlib.closing(connect(database("0001"), name="tests")) as connection,
        pytest.raises(WrongSchema, match="no tombstones yet"),
    ):
        guard.add(connection)


@pytest.mark.parametrize("revision", ["0002", "0003"])
def test_it_can_be_set_beside_the_plain_key_and_survives_its_end(database, revision):
    url = database(revision)
    with contextlib.closing(connect(url, name="tests")) as connection:
        guard.add(connection)
        upgrade(connection, url)
        add_provider(connection, "openai")
        add_model(connection, "openai")
        with guard_refuses():
            drop_provider(connection, "openai")


def test_it_lies_beside_the_tables_wherever_they_are(connection):
    connection.execute("create schema product")
    for name in TABLES:
        connection.execute(f"alter table {name} set schema product")
    connection.execute("set search_path = public, product")
    guard.add(connection)
    assert (
        scalar(
            connection,
            "select pronamespace::regnamespace::text from pg_proc "
            "where proname = 'sexton_guard'",
        )
        == "product"
    )
    guard.remove(connection)
    assert guard.status(connection)["guard"] == "none"


def kill_at(connection: Connection, number: int) -> None:
    """Let the server kill the session that ends its `number`th DDL statement from now."""
    connection.execute("drop event trigger if exists killer")
    connection.execute("create sequence if not exists deaths")
    connection.execute("select setval('deaths', 1, false)")
    connection.execute(
        f"""
        create or replace function killer() returns event_trigger language plpgsql as $$
        begin
            if nextval('deaths') = {number} then
                perform pg_terminate_backend(pg_backend_pid());
                perform pg_sleep(10);
            end if;
        end
        $$
        """
    )
    connection.execute(
        "create event trigger killer on ddl_command_end execute function killer()"
    )


@pytest.mark.parametrize("way", ["add", "remove"])
def test_killed_at_any_statement_it_goes_on_from_there(url, connection, way):
    dead = tombstone(connection, "legacy-removed")
    reached = 0
    for number in itertools.count(1):
        if way == "remove":
            guard.add(connection)
        kill_at(connection, number)
        with contextlib.closing(connect(url, name="tests")) as doomed:
            try:
                getattr(guard, way)(doomed)
            except (psycopg.OperationalError, SextonError):
                reached = number
        connection.execute("drop event trigger killer")
        if reached < number:
            break
        getattr(guard, way)(connection)
        expected = {"add": "set", "remove": "none"}[way]
        assert guard.status(connection)["guard"] == expected
        guard.remove(connection)
    assert reached >= {"add": 14, "remove": 4}[way]
    assert table(connection, "chat_model_configs")[0]["id"] == dead


@pytest.mark.parametrize("kill", [kill_process, kill_session])
@pytest.mark.parametrize(
    ("way", "other", "end"), [("add", "remove", "set"), ("remove", "add", "none")]
)
def test_killed_after_any_statement_it_converges(url, connection, way, other, end, kill):
    dead = tombstone(connection, "legacy-removed")
    statement, lived = 1 - EVERY, False
    while not lived:
        getattr(guard, other)(connection)
        statement += EVERY
        lived = lived_through(url, getattr(guard, way), statement, kill)
        getattr(guard, way)(connection)
        assert guard.status(connection)["guard"] == end
    assert statement > 20
    assert table(connection, "chat_model_configs")[0]["id"] == dead


def test_two_at_once_make_one_guard(url):
    made: list[list[str]] = []

    def add():
        with contextlib.closing(connect(url, name="tests")) as connection:
            together.wait()
            made.append(guard.add(connection))

    together = threading.Barrier(2)
    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(map(bool, made)) == [False, True]


def test_nobody_is_queued_behind_an_idle_reader(url, connection):
    with contextlib.closing(second_connection(url)) as reader, reader.transaction():
        reader.execute("select count(*) from chat_model_configs")
        with pytest.raises(Busy) as busy:
            guard.add(connection, Options(max_stall=0.1, deadline=0.6))
    assert "no access exclusive lock on chat_model_configs" in busy.value.message
    assert "running it again goes on from there" in busy.value.message
    assert guard.status(connection)["guard"] == "incomplete"
    guard.add(connection)
    assert guard.status(connection)["guard"] == "set"


# -- how it goes, and what is said of it -----------------------------------------------


def everything_of_ours(connection: Connection) -> Any:
    return rows(
        connection,
        """
        select 'class' as what, relname::text as name from pg_class
        where relname like 'sexton%'
        union all select 'function', proname::text from pg_proc where proname like 'sexton%'
        union all select 'trigger', tgname::text from pg_trigger where tgname like 'sexton%'
        union all select 'constraint', conname::text from pg_constraint
        where conname like 'sexton%'
        union all select 'column', attname::text from pg_attribute
        where attname like 'sexton%' and not attisdropped
        order by 1, 2
        """,
    )


def test_remove_leaves_nothing_behind(guarded):
    tombstone(guarded, "openai")
    before = storage(guarded)
    assert everything_of_ours(guarded)
    assert len(guard.remove(guarded)) == 1
    assert everything_of_ours(guarded) == []
    assert storage(guarded) == before
    assert guard.remove(guarded) == []
    add_model(guarded, "openai")


def test_remove_is_refused_where_something_else_hangs_on_it(guarded):
    guarded.execute("create view mine as select sexton_live from chat_model_configs")
    with pytest.raises(Refused, match="view mine depends on"):
        guard.remove(guarded)
    assert guard.status(guarded)["guard"] == "set"


DAMAGE = {
    "trigger off": "alter table chat_model_configs disable trigger sexton_guard",
    "trigger dropped": "drop trigger sexton_guard on chat_model_configs",
    "function changed": """
        create or replace function sexton_guard() returns trigger language plpgsql as
        $$begin return new; end$$
    """,
    "check dropped": "alter table chat_model_configs drop constraint sexton_guard_marker",
    "check weakened": """
        alter table chat_model_configs drop constraint sexton_guard_marker,
            add constraint sexton_guard_marker check (sexton_live is not null or deleted)
    """,
    "parent's check dropped": (
        "alter table chat_providers drop constraint sexton_guard_marker"
    ),
    "key dropped": "alter table chat_model_configs drop constraint sexton_guard",
    "key not valid": """
        alter table chat_model_configs drop constraint sexton_guard;
        alter table chat_model_configs add constraint sexton_guard
            foreign key (provider, sexton_live)
            references chat_providers (provider, sexton_live) not valid
    """,
    "key cascades": """
        alter table chat_model_configs drop constraint sexton_guard;
        alter table chat_model_configs add constraint sexton_guard
            foreign key (provider, sexton_live)
            references chat_providers (provider, sexton_live) on delete cascade
    """,
    "key's triggers off": "alter table chat_providers disable trigger all",
    "default flipped": "alter table chat_model_configs alter sexton_live set default false",
    "parent's mark nullable": "alter table chat_providers alter sexton_live drop not null",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_and_mended(guarded, damage):
    tombstone(guarded, "openai")
    assert guard.drift(guarded) == []
    for statement in DAMAGE[damage].split(";\n"):
        guarded.execute(statement)
    assert guard.status(guarded)["guard"] == "incomplete"
    [sentence] = guard.drift(guarded)
    assert sentence.startswith("the guard is incomplete, it lacks ")
    guard.add(guarded)
    assert guard.status(guarded)["guard"] == "set"


# -- with the revisions ----------------------------------------------------------------


@contextlib.contextmanager
def somebody_inserts_orphans(url: str) -> Iterator[list[Any]]:
    """Try without end; yield the list of those that came in."""
    came_in: list[Any] = []
    tried: list[int] = []
    stop, trying = threading.Event(), threading.Event()

    def insert():
        with contextlib.closing(connect(url, name="tests, an old replica")) as raw:
            while not stop.is_set():
                with contextlib.suppress(errors.ForeignKeyViolation):
                    came_in.append(add_model(raw, "vercel"))
                tried.append(1)
                trying.set()

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        assert trying.wait(10)
        before = len(tried)
        yield came_in
        assert len(tried) > before
    finally:
        stop.set()
        thread.join(10)


def test_upgrade_with_the_guard_and_downgrade_leave_no_unprotected_instant(database):
    url = database("0001")
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai")
        live = add_model(connection, "openai")
        with somebody_inserts_orphans(url) as came_in:
            up = upgrade(connection, url, guarded=True)
            assert guard.status(connection)["guard"] == "set"
            dead = tombstone(connection, "openai")
            down = downgrade(connection, url, "0003")
        assert came_in == []
        assert up == ["0002", "0003", "guard", "0004"]
        assert down == ["0004", "guard"]
        assert everything_of_ours(connection) == []
        with pytest.raises(errors.ForeignKeyViolation):
            add_model(connection, "azure")
        assert {row["id"] for row in table(connection, "chat_model_configs")} == {
            live,
            dead,
        }


def test_upgrade_without_the_guard_sets_none(database):
    url = database("0001")
    with contextlib.closing(connect(url, name="tests")) as connection:
        assert upgrade(connection, url) == ["0002", "0003", "0004"]
        assert everything_of_ours(connection) == []


def test_upgrade_sets_the_guard_at_head_too(url, connection):
    assert upgrade(connection, url, guarded=True) == ["guard"]
    assert upgrade(connection, url, guarded=True) == []


def test_a_way_down_that_keeps_the_key_away_keeps_the_guard(guarded, guarded_url):
    assert downgrade(guarded, guarded_url, "0004") == []
    assert guard.status(guarded)["guard"] == "set"


def test_all_the_way_down_and_up_again(guarded, guarded_url):
    assert downgrade(guarded, guarded_url, "base")[:2] == ["0004", "guard"]
    assert upgrade(guarded, guarded_url, guarded=True)[-2:] == ["guard", "0004"]
    assert guard.status(guarded)["guard"] == "set"


def test_the_script_for_psql_sets_the_guard(database):
    url = database("0001")
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai")
        tombstoned = script(
            connection, find_route(connection, "up", "head", guarded=True), Options(), ""
        )
        program("psql", "-q", "-X", "-d", url, stdin=tombstoned.encode())
        assert guard.status(connection)["guard"] == "set"
        assert revision(connection) == "0004"
        back = script(connection, find_route(connection, "down", "0003"), Options(), "")
        program("psql", "-q", "-X", "-d", url, stdin=back.encode())
        assert everything_of_ours(connection) == []
        assert revision(connection) == "0003"


# -- at the command line ---------------------------------------------------------------


def test_guard_add_status_remove(sexton):
    none = sexton("guard", "status")
    assert (none.code, none.stdout) == (0, "there is no guard; sexton guard add sets one\n")
    planned = sexton("guard", "add", "--plan", "--format", "json")
    assert planned.code == 1
    assert [step["title"] for step in planned.json["steps"]] == [
        step["title"] for step in parts.ADD
    ]
    assert not any(step["rewrites"] for step in planned.json["steps"])
    assert sexton("guard", "status").stdout == none.stdout
    added = sexton("guard", "add", "--format", "json")
    assert added.code == 0
    assert (added.json["guard"], added.json["constraint"]) == ("set", "sexton_guard")
    assert sexton("guard", "add", "--plan").code == 0
    assert sexton("guard", "status").stdout.startswith(
        "the guard is set: CONSTRAINT sexton_guard, valid\n"
    )
    going = sexton("guard", "remove", "--plan")
    assert going.code == 1
    assert "warning: the database will no longer promise" in going.stdout
    assert sexton("guard", "remove").code == 0
    assert sexton("guard", "remove").stdout.startswith("nothing to do\n")


def test_guard_status_says_what_is_missing(sexton, connection):
    sexton("guard", "add")
    connection.execute("alter table chat_model_configs drop constraint sexton_guard")
    said = sexton("guard", "status")
    assert said.code == 1
    assert "missing  foreign key sexton_guard on chat_model_configs" in said.stdout


def test_guard_add_lists_the_orphans_and_the_repair(sexton, connection):
    add_provider(connection, "azure")
    add_model(connection, "azure", is_default=True)
    add_model(connection, "openai")
    planned = sexton("guard", "add", "--plan")
    assert planned.code == 5
    refused = sexton("guard", "add")
    assert refused.code == 5
    for said in (planned.stdout, refused.stderr):
        assert "1 live model configs are orphans: there is no provider 'openai'" in said
        assert "sexton repair model_without_provider" in said
    assert sexton("repair", "model_without_provider", "--apply").code == 0
    assert sexton("guard", "add").code == 0


def test_upgrade_guard_from_the_command_line(sexton):
    assert sexton("downgrade", "0003").code == 0
    planned = sexton("upgrade", "--guard", "--plan", "--format", "json")
    revisions = [step["revision"] for step in planned.json["steps"]]
    assert revisions == ["guard"] * len(parts.ADD) + ["0004"]
    done = sexton("upgrade", "--guard", "--format", "json")
    assert (done.code, done.json["applied"]) == (0, ["guard", "0004"])
    planned = sexton("downgrade", "0002", "--plan", "--format", "json")
    assert [step["revision"] for step in planned.json["steps"]][:3] == [
        *("0004", "0004", "guard")
    ]
    assert sexton("downgrade", "0001").code == 0
    assert sexton("upgrade", "0001", "--guard").code == 2


def test_repair_and_life_cycle_commands_under_the_guard(sexton, connection):
    sexton("guard", "add")
    for name in ("openai", "azure"):
        add_provider(connection, name)
    add_model(connection, "openai")
    add_model(connection, "azure")
    half = add_model(connection, "openai", "h", deleted=True)
    assert sexton("repair", "default_missing", "tombstone_half_set", "--apply").code == 0
    assert sexton("provider", "delete", "azure").code == 0
    assert sexton("audit", "model_without_provider").code == 0
    marks = {r["id"]: r["sexton_live"] for r in table(connection, "chat_model_configs")}
    assert marks[half] is None
    assert sorted(map(str, marks.values())) == ["None", "None", "True"]


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


# -- in the audit ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model_without_provider", "orphaned_default"])
def test_the_audit_says_that_the_guard_enforces_it(sexton, connection, name):
    add_provider(connection, "openai")
    add_model(connection, "openai", is_default=True)
    assert sexton("audit", name, "--format", "json").json["checks"][0]["strategy"]
    guard.add(connection)
    [check] = sexton("audit", name, "--format", "json").json["checks"]
    assert check["status"] == "pass"
    assert check["reason"] == "enforced by CONSTRAINT sexton_guard"


@pytest.mark.parametrize(
    "damage",
    [
        "check dropped",
        "check weakened",
        "key dropped",
        "key not valid",
        "key's triggers off",
    ],
)
def test_the_audit_believes_only_a_whole_guard(guarded, guarded_url, capfd, damage):
    add_provider(guarded, "openai")
    add_model(guarded, "openai", is_default=True)
    for statement in DAMAGE[damage].split(";\n"):
        guarded.execute(statement)
    said = Cli(guarded_url, capfd)("audit", "model_without_provider", "--format", "json")
    [check] = said.json["checks"]
    assert (check["status"], check["reason"]) == ("pass", None)


@pytest.mark.parametrize("damage", ["trigger off", "check dropped", "key not valid"])
def test_schema_drift_and_status_know_its_parts(guarded, guarded_url, capfd, damage):
    run = Cli(guarded_url, capfd)
    assert run("audit", "schema_drift").code == 0
    for statement in DAMAGE[damage].split(";\n"):
        guarded.execute(statement)
    assert (
        "the guard is incomplete: sexton guard add" in run("audit", "schema_drift").stdout
    )
    said = run("status")
    assert said.code == 1
    assert "the guard is incomplete: sexton guard add" in said.stdout


def test_dropping_the_column_provider_takes_the_key_away_and_status_says_so(guarded):
    guarded.execute("alter table chat_model_configs drop column provider")
    assert guard.status(guarded)["guard"] == "incomplete"
    assert guard.status(guarded)["constraint"] is None
    guard.remove(guarded)
    assert everything_of_ours(guarded) == []


def test_alembic_check_finds_nothing_to_drop(guarded_url, guarded):
    assert guard.status(guarded)["guard"] == "set"
    checked = config()
    with engine(guarded_url, "alembic check").connect() as connection:
        checked.attributes["connection"] = connection
        command.check(checked)
