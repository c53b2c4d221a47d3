"""Each step takes exactly the lock it declares, and rewrites no table."""

import contextlib
import threading
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from sexton import journal
from sexton.chat.project import LIVE_MODELS
from sexton.database import Connection, connect, rows, scalar
from sexton.ddl import execution, questions
from sexton.ddl.execution import At
from sexton.ddl.options import Options
from sexton.ddl.session import own_session
from sexton.ddl.steps import Step
from sexton.errors import Busy, Refused
from sexton.guard import change
from sexton.guard.binding import offline
from sexton.guard.change import planned
from sexton.guard.steps import add_steps
from sexton.upgrade.route import find_route
from sexton.upgrade.run import downgrade
from tests.support.project import HEAD
from tests.support.tools import add_model, add_provider
from tests.support.waiting import Working

# Those that stand in the way of writers or of DDL, the strongest last.
STRONG = (
    *("ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock"),
    *("ExclusiveLock", "AccessExclusiveLock"),
)


HELD = """
    select c.relname as table, l.mode
    from pg_locks l
    join pg_class c on c.oid = l.relation
    join pg_database d on d.oid = l.database and d.datname = current_database()
    where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and l.granted
"""


GUARD = offline(LIVE_MODELS)


ADD = add_steps(GUARD)


CHOICES = Options(choices=frozenset({"tombstones=disable"}))


def files(connection: Connection) -> list[dict[str, Any]]:
    """Every table's file: a rewrite gives it a new one."""
    return rows(
        connection,
        """
        select relname, relfilenode from pg_class
        where relkind = 'r' and relnamespace = 'public'::regnamespace order by relname
        """,
    )


def strongest(held: list[dict[str, Any]]) -> dict[str, str]:
    """Each table's strongest lock, where it is a strong one."""
    found: dict[str, str] = {}
    for mode in STRONG:
        found |= {row["table"]: mode for row in held if row["mode"] == mode}
    return found


def taken(connection: Connection, step: Step) -> dict[str, str]:
    """The locks of a step that has a transaction of its own, seen after each statement."""
    held: list[dict[str, Any]] = []

    class Traced(psycopg.Cursor[Any]):
        def execute(self, *arguments: Any, **options: Any) -> Any:
            done = super().execute(*arguments, **options)
            if connection.info.transaction_status == TransactionStatus.INTRANS:
                cursor = psycopg.Cursor(connection, row_factory=dict_row)
                held.extend(cursor.execute(f"{HELD} and l.pid = pg_backend_pid()"))
            return done

    connection.cursor_factory = Traced
    try:
        execution.run(connection, [step], CHOICES)
    finally:
        connection.cursor_factory = psycopg.Cursor
    return strongest(held)


def taken_alone(connection: Connection, url: str, step: Step) -> dict[str, str]:
    """The locks of a step that runs beside, seen while a writer keeps it waiting."""
    held: list[dict[str, Any]] = []
    running = threading.Thread(target=lambda: execution.run(connection, [step], CHOICES))
    with contextlib.closing(connect(url, name="writer")) as writer:
        with writer.transaction():
            for table in step.tables:
                lock: Any = f"lock table {table} in row exclusive mode"
                writer.execute(lock)
            running.start()
            while running.is_alive() and not held:
                held = rows(writer, f"{HELD} and l.pid <> pg_backend_pid()")
                held = [row for row in held if row["mode"] in STRONG]
        running.join()
    return strongest(held)


@pytest.mark.parametrize("way", ["up", "down", "add the guard", "remove the guard"])
def test_it_takes_the_declared_locks_and_rewrites_nothing(database, way):
    url = database("0001" if way == "up" else HEAD)
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai")
        add_model(connection, "openai", is_default=True)
        if way != "up":
            add_model(connection, "azure", deleted=True, deleted_at="2026-01-01T00:00:00Z")
        if way == "remove the guard":
            change.add(connection, LIVE_MODELS)
        before, looked = files(connection), 0
        for step in steps_of(connection, way):
            with own_session(connection):
                if questions.is_done(connection, step):
                    continue
            if not step.outside_transaction:
                found = taken(connection, step)
            elif any("concurrently" in statement for statement in step.sql):
                found = taken_alone(connection, url, step)
            else:
                execution.run(connection, [step], CHOICES)
                continue
            mode = f"{step.lock.title().replace(' ', '')}Lock"
            assert found == dict.fromkeys(step.tables, mode), step.title
            looked += 1
        assert looked >= {"remove the guard": 1}.get(way, 4)
        assert files(connection) == before


def steps_of(connection: Connection, way: str) -> list[Step]:
    if way == "add the guard":
        return list(planned(connection, "add", LIVE_MODELS))
    if way == "remove the guard":
        return list(planned(connection, "remove", LIVE_MODELS))
    route = find_route(connection, way, "head" if way == "up" else "0001")
    return [step for move in route.moves for step in move.steps]


@pytest.mark.parametrize(
    "step",
    [step for step in ADD if step.title.startswith("validate")],
    ids=lambda step: step.title,
)
def test_to_validate_takes_the_declared_lock(database, step):
    with contextlib.closing(connect(database(HEAD), name="tests")) as connection:
        add_provider(connection, "openai")
        add_model(connection, "openai")
        execution.run(connection, ADD[: ADD.index(step)])
        with connection.transaction():
            for statement in step.sql:
                connection.execute(statement)
            held = rows(connection, f"{HELD} and l.pid = pg_backend_pid()")
        assert strongest(held) == dict.fromkeys(
            step.tables, f"{step.lock.title().replace(' ', '')}Lock"
        )


def test_a_list_of_steps_runs_outside_any_revision(connection):
    step = {
        "title": "comment on the table",
        "lock": "share update exclusive",
        "tables": ["chat_providers"],
        "done": "select obj_description(to_regclass('chat_providers')) is not null",
        "sql": ["comment on table chat_providers is 'kept'"],
    }
    assert execution.run(connection, [step]) == ["comment on the table"]
    assert execution.run(connection, [step]) == []
    assert (
        scalar(connection, "select obj_description('chat_providers'::regclass)") == "kept"
    )


def test_a_step_compares_the_version_row(connection):
    step = {"title": "do something", "sql": ["select 1"]}
    with pytest.raises(Busy, match=f"was at 0003, and is at {HEAD} now"):
        execution.run(connection, [step], at=At(("0003",)))
    assert execution.run(connection, [step], at=At((HEAD,))) == ["do something"]


def test_a_downgrade_is_refused_under_the_lock_too(keyed, application):
    """Between the first look and the lock, a deletion may have come in."""
    add_provider(application, "openai")
    model = add_model(application, "openai")
    assert Working(keyed, downgrade, "0002").result() == ["0003"]
    with application.transaction():
        application.execute(
            """
            update chat_model_configs set deleted = true, deleted_at = now()
            where id = %s
            """,
            (model,),
        )
        working = Working(keyed, downgrade, "0001", max_stall=0.1)
        assert working.announced.wait(60)
    with pytest.raises(Refused, match="would come back to life"):
        working.result()
    assert scalar(application, "select count(*) from chat_model_configs where deleted") == 1


def test_a_step_sees_what_others_committed_while_it_waited(connection):
    """A snapshot that is older than the lock would not; the role's default is another."""
    connection.execute("set default_transaction_isolation = 'repeatable read'")
    look = "create table seen as select current_setting('transaction_isolation') as level"
    execution.run(connection, [{"title": "look", "sql": [look]}])
    assert scalar(connection, "select level from seen") == "read committed"


def test_no_setting_of_a_role_reaches_a_session_of_ours(connection):
    there = {row["name"] for row in rows(connection, "select name from pg_settings")}
    theirs = {"quote_all_identifiers": "on", "statement_timeout": "1min"}
    theirs |= {"lock_timeout": "1min"}
    if "idle_session_timeout" in there:  # since PostgreSQL 14
        theirs["idle_session_timeout"] = "1min"
    for name, value in theirs.items():
        connection.execute(f"set {name} = '{value}'")
    with own_session(connection):
        shown = {name: scalar(connection, f"show {name}") for name in theirs}
    assert set(shown.values()) == {"off", "0", "10s"}
    assert {name: scalar(connection, f"show {name}") for name in theirs} == theirs


WAITS = """
    select 1 from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
"""


def test_rows_that_are_changed_are_not_held_while_one_is_waited_for(url, connection):
    connection.execute("create table t (id int primary key, n int)")
    connection.execute("insert into t values (1, 0), (2, 0)")
    step = {
        **{"title": "count", "lock": "row exclusive", "tables": ["t"]},
        "done": "select not exists (select from t where n = 0)",
        "outside_transaction": True,
        "sql": [{"update": "t", "set": {"n": "this.n + 1"}, "where": "this.n = 0"}],
    }
    said: list[str] = []
    with (
        contextlib.closing(connect(url, name="holder")) as holder,
        contextlib.closing(connect(url, name="step")) as working,
    ):
        thread = threading.Thread(
            target=lambda: execution.run(
                working, [step], Options(max_stall=0.1, say=said.append)
            )
        )
        with holder.transaction():
            holder.execute("select from t where id = 2 for update")
            thread.start()
            while not rows(connection, WAITS):
                assert thread.is_alive()
            # As long as the other row is held, this would wait as well.
            connection.execute("set lock_timeout = '5s'; update t set n = n where id = 1")
            while not said:
                assert thread.is_alive()
        thread.join()
    assert said == ["waiting for others who have locked rows of t"]
    assert [row["n"] for row in rows(connection, "select n from t")] == [1, 1]
    [run] = journal.list_runs(connection)
    assert run["rows"] == 2
