"""Guards in anybody's revisions."""

import contextlib
import io
from dataclasses import replace

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

import sexton.alembic  # noqa: F401 - registers them
from sexton.database import connect
from sexton.errors import Refused, UsageError
from sexton.guard.operations import AddGuard, DropGuard
from sexton.guard.spec import deferrability
from sexton.guard.status import status
from tests.support.guards import everything_of_ours
from tests.support.online import operations
from tests.support.worlds_of_guards import BOTH, COMPOSITE, PLAIN, World


def places(world: World) -> tuple[str, str]:
    spec = world.spec
    return (
        f"{spec.child}({', '.join(spec.columns)})",
        f"{spec.parent}({', '.join(spec.parent_columns)})",
    )


@pytest.mark.parametrize("world", [PLAIN, BOTH, COMPOSITE], ids=["one", "both", "many"])
def test_a_revision_adds_and_drops_one_and_does_nothing_twice(database, world):
    url = database("empty")
    conditions = {"live": world.spec.live, "parent_live": world.spec.parent_live}
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(world.tables)
        for _ in range(2):
            with operations(url) as op:
                op.add_guard(*places(world), **conditions)
            assert status(connection, world.spec)["guard"] == "set"
        for _ in range(2):
            with operations(url) as op:
                op.drop_guard(*places(world))
            assert everything_of_ours(connection) == []


def test_orphans_and_nonsense_are_refused(database):
    url = database("empty")
    with contextlib.closing(connect(url, name="tests")) as connection:
        connection.execute(PLAIN.tables)
        connection.execute(PLAIN.insert_orphan)
    with operations(url) as op, pytest.raises(UsageError, match="names no column"):
        op.add_guard("invoices", "customers.id")
    with pytest.raises(Refused, match="is an orphan"), operations(url) as op:
        op.add_guard("invoices.customer_id", "customers.id")


def test_each_is_the_others_way_back():
    dropped = AddGuard(**PLAIN.spec.given).reverse()
    assert isinstance(dropped, DropGuard)
    assert isinstance(dropped.reverse(), AddGuard)


LOCKED = "alter table invoices add locked int default 0; alter table customers add seen int"


@pytest.mark.parametrize("deferrable", [None, True, "immediate", False])
def test_what_is_printed_offline_sets_it_and_drops_it(database, deferrable):
    with contextlib.closing(connect(database("empty"), name="tests")) as connection:
        connection.execute(f"{PLAIN.tables}; {LOCKED}")
        connection.execute(PLAIN.insert_dead)
        said = {"parent_live": "not deleted", "deferrable": deferrable}
        run_offline(connection, lambda op: op.add_guard(*places(PLAIN), **said))
        set_so = replace(
            PLAIN.spec, parent_live="not deleted", deferrable=deferrability(deferrable)
        )
        assert status(connection, set_so)["guard"] == "set"
        run_offline(connection, lambda op: op.drop_guard(*places(PLAIN)))
        assert everything_of_ours(connection) == []


def test_another_time_for_the_check_is_wrong_usage(database):
    with operations(database("empty")) as op, pytest.raises(UsageError, match="'often'"):
        op.add_guard("invoices.customer_id", "customers.id", deferrable="often")


def run_offline(connection, act):
    printed = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        opts={"as_sql": True, "output_buffer": printed, "literal_binds": True},
    )
    with context.begin_transaction(), Operations.context(context) as op:
        act(op)
    for statement in printed.getvalue().split(";\n\n"):
        connection.execute(statement)
