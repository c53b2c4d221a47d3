"""Each step takes exactly the lock it declares, and rewrites no table."""

import contextlib
from typing import Any

import pytest

from migrations import steps
from migrations.locks import CONFLICTS, Options
from tests.tools import add_model, add_provider
from toolkit.database import Connection, connect, rows, scalar
from toolkit.errors import Busy
from toolkit.upgrade.plan import moves
from toolkit.upgrade.upgrade import config, revisions

STRONG = set(CONFLICTS["share update exclusive"]) | {"ShareRowExclusiveLock"}
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


def strong_locks(connection: Connection) -> set[tuple[str, str]]:
    """The tables that the transaction has locked against writers or DDL, and how."""
    return {
        (row["table"], row["mode"])
        for row in rows(
            connection,
            """
            select c.relname as table, l.mode from pg_locks l
            join pg_class c on c.oid = l.relation
            where l.pid = pg_backend_pid() and c.relkind = 'r'
              and c.relnamespace = 'public'::regnamespace
            """,
        )
        if row["mode"] in STRONG
    }


@pytest.mark.parametrize("way", ["up", "down"])
def test_it_takes_the_declared_locks_and_rewrites_nothing(database, way):
    url = database("0001" if way == "up" else "0004")
    with contextlib.closing(connect(url, name="tests")) as connection:
        add_provider(connection, "openai")
        add_model(connection, "openai", is_default=True)
        if way == "down":
            add_model(connection, "azure", deleted=True, deleted_at="2026-01-01T00:00:00Z")
        before, looked = files(connection), 0
        for _, _, made in moves(connection, way, "head" if way == "up" else "0001"):
            for step in made:
                if step.get("alone") or steps.is_done(connection, step):
                    steps.run(connection, [step], CHOICES)
                    continue
                with connection.transaction():
                    for statement in steps.statements(step, CHOICES):
                        connection.execute(statement)
                    taken = strong_locks(connection)
                mode = f"{step['lock'].title().replace(' ', '')}Lock"
                allowed = {(t, m) for t in step["tables"] for m in STRONG}
                assert taken <= allowed, step["title"]
                if any(m == "AccessExclusiveLock" for _, m in taken):
                    assert mode == "AccessExclusiveLock", step["title"]
                looked += 1
        assert looked >= 3
        assert files(connection) == before


def test_every_step_says_what_it_does_and_when_it_is_done():
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(config())
    for number in revisions():
        module = script.get_revision(number).module
        for step in [*module.UPGRADE, *module.DOWNGRADE]:
            assert step["title"]
            assert step["done"]
            assert bool(step.get("lock")) == bool(step.get("tables"))
            assert set(step) <= {
                *("title", "lock", "tables", "done", "refuse", "warn", "sql", "alone"),
                *("choice", "chosen", "scans", "loses", "hint"),
            }


def test_a_list_of_steps_runs_outside_any_revision(connection):
    step = {
        "title": "comment on the table",
        "lock": "share update exclusive",
        "tables": ["chat_providers"],
        "done": "select obj_description('chat_providers'::regclass) is not null",
        "sql": ["comment on table chat_providers is 'kept'"],
    }
    assert steps.run(connection, [step]) == ["comment on the table"]
    assert steps.run(connection, [step]) == []
    assert (
        scalar(connection, "select obj_description('chat_providers'::regclass)") == "kept"
    )


def test_a_step_compares_the_version_row(connection):
    step = {"title": "do something", "sql": ["select 1"]}
    with pytest.raises(Busy, match="was at 0003, and is at 0004 now"):
        steps.run(connection, [step], at="0003")
    assert steps.run(connection, [step], at="0004") == ["do something"]
