"""Each shape of a guard holds, comes and goes."""

import pytest
from psycopg import errors

from sexton.ddl import questions
from sexton.ddl.options import Options
from sexton.errors import Refused
from sexton.guard import change
from sexton.guard.change import planned
from sexton.guard.spec import GuardSpec
from sexton.guard.status import NONE, SET, enforced_by, status
from tests.support.guards import everything_of_ours
from tests.support.worlds_of_guards import (
    COMPOSITE,
    PLAIN,
    every_world,
    files,
    make,
    orphans_of,
    refused,
    run,
    state,
)


@every_world
def test_it_holds_for_live_rows_and_for_them_alone(empty, world):
    make(empty, world)
    run(empty, world.insert_dead)
    before = files(empty)
    change.add(empty, world.spec)
    assert files(empty) == before
    assert state(empty, world.spec) == SET
    assert change.add(empty, world.spec) == []
    assert (
        enforced_by(empty, world.spec)
        == status(empty, world.spec)["guards"][0]["constraint"]
    )
    run(empty, world.insert)
    refused(empty, world.end)
    refused(empty, world.insert_orphan)
    refused(empty, world.revive_dead)
    with empty.transaction():
        run(empty, world.bury)
        run(empty, world.end)
    assert orphans_of(empty, world) == 0


@every_world
def test_it_goes_and_leaves_nothing_behind(empty, world):
    make(empty, world)
    change.add(empty, world.spec)
    assert everything_of_ours(empty)
    assert len(change.remove(empty, world.spec)) == 1
    assert everything_of_ours(empty) == []
    assert state(empty, world.spec) == NONE
    run(empty, world.insert_orphan)


@every_world
def test_it_is_refused_while_live_rows_are_orphans_and_before_the_first_step(empty, world):
    make(empty, world)
    run(empty, world.insert_orphan)
    before = everything_of_ours(empty)
    with pytest.raises(Refused, match=r"1 (live )?row of .* is an orphan: there is no"):
        change.add(empty, world.spec)
    assert everything_of_ours(empty) == before


def test_several_live_on_one_table(empty):
    make(empty, PLAIN)
    run(empty, "alter table invoices add payer_id bigint")
    payer = GuardSpec("invoices", ("payer_id",), "customers", ("id",))
    for spec in (PLAIN.spec, payer):
        change.add(empty, spec)
    assert state(empty, PLAIN.spec, payer) == SET
    refused(empty, "insert into invoices (customer_id, payer_id) values (1, 9)")
    refused(empty, "insert into invoices (customer_id, payer_id) values (9, 1)")
    change.remove(empty, PLAIN.spec)
    assert [one["guard"] for one in status(empty, PLAIN.spec, payer)["guards"]] == [
        NONE,
        SET,
    ]
    refused(empty, "insert into invoices (payer_id) values (9)")
    run(empty, "insert into invoices (customer_id) values (9)")


INDEXES = {
    "using btree (customer_id)": True,
    "using hash (customer_id)": True,
    "using btree (customer_id desc, no)": True,
    "using btree (customer_id) where customer_id is not null": True,
    "using btree (no, customer_id)": False,
    "using btree (no) include (customer_id)": False,
    "using brin (customer_id)": False,
    "using gin ((array[customer_id]))": False,
    "using btree ((customer_id + 0))": False,
    "using btree (customer_id) where not deleted": False,
    "using btree (customer_id) where customer_id is not null and not deleted": False,
}


def unindexed(connection, spec):
    steps = planned(connection, "add", spec)
    return [
        said
        for step in steps
        for said in questions.objections(
            connection, step, Options(), questions.look_up(connection, step), "warn"
        )
    ]


@pytest.mark.parametrize(("index", "helps"), INDEXES.items(), ids=INDEXES)
def test_an_index_counts_where_it_finds_the_children_of_a_parent(empty, index, helps):
    make(empty, PLAIN)
    run(empty, "drop index invoices_customer_id_idx")
    run(empty, f"create index on invoices {index}")
    said = [] if helps else ["no index of invoices finds its rows by customer_id"]
    assert [one[:50] for one in unindexed(empty, PLAIN.spec)] == said


def test_an_index_counts_where_it_has_all_columns_and_the_build_came_to_its_end(empty):
    make(empty, COMPOSITE)
    child = '"My Shop"."In%voices"'
    for columns, helps in (
        ("tenant", False),
        ('tenant, id, "Cust No"', False),
        ('tenant, "Cust No" collate "C"', False),
        ('"Cust No", tenant, id', True),
    ):
        run(empty, f"create index made on {child} ({columns})")
        assert unindexed(empty, COMPOSITE.spec) == ([] if helps else unindexed_said())
        run(empty, 'drop index "My Shop".made')
    run(empty, f"insert into {child} (tenant, \"Cust No\") values (1, 'a'), (1, 'a')")
    with pytest.raises(errors.UniqueViolation):
        run(empty, f'create unique index concurrently on {child} (tenant, "Cust No")')
    assert unindexed(empty, COMPOSITE.spec) == unindexed_said()


def unindexed_said():
    return [
        "no index of In%voices finds its rows by tenant, Cust No: "
        "each deletion of a parent will read the whole table"
    ]
