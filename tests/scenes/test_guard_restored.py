"""A dump, and the script for psql, bring a guard whole."""

import contextlib

import pytest

from sexton.database import connect, rows
from sexton.guard import change
from sexton.guard.status import NONE, SET
from tests.support import guards as guard
from tests.support.guards import (
    TABLES,
    bury,
    drop_provider,
    guard_refuses,
    program,
    revive,
    tombstone,
)
from tests.support.tools import add_model, add_provider, table
from tests.support.worlds_of_guards import every_world, make, refused, run, state


@every_world
def test_a_dump_brings_it_back_whole(empty, empty_url, database, world):
    make(empty, world)
    change.add(empty, world.spec)
    run(empty, world.insert)
    target = database("empty")
    program("psql", "-qX", "-d", target, stdin=program("pg_dump", "-d", empty_url))
    with contextlib.closing(connect(target, name="tests")) as restored:
        assert state(restored, world.spec) == SET
        assert change.add(restored, world.spec) == []
        refused(restored, world.end)


@every_world
def test_the_script_for_psql_makes_it_and_takes_it_away(empty, empty_url, world):
    from sexton.ddl.options import Options
    from sexton.upgrade.route import guard_route
    from sexton.upgrade.script import script

    make(empty, world)
    run(empty, world.insert_dead)
    for verb, end in (("add", SET), ("remove", NONE)):
        route = guard_route(empty, verb, [world.spec])
        lines = script(empty, route, Options(), f"guard {verb}")
        program("psql", "-qX", "-d", empty_url, stdin=lines.encode())
        assert state(empty, world.spec) == end


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
