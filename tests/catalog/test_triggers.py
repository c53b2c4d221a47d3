"""Which triggers of users fire where rows are written, and when."""

import pytest

from sexton.catalog.triggers import (
    DELETE,
    EVENTS,
    INSERT,
    UPDATE,
    Trigger,
    changed_again,
    fire,
    firing,
    meddlers,
    named,
)
from sexton.database import rows, scalar
from tests.support.meddling import AT_COMMIT, meddle

WORLD = """
    create table parents (id int primary key) partition by list (id);
    create table part partition of parents default;
    create table children (
        id int primary key, parent int references parents on delete cascade
    );
    create table cousins (child int references children on delete set null);
    create table strangers (parent int references parents);
    create function f() returns trigger language plpgsql as 'begin return null; end';
    create trigger all_of_it after insert or delete on parents
        for each row execute function f();
    create trigger of_part after update on part for each row execute function f();
    create trigger of_child before delete on children for each row execute function f();
    create trigger of_child_update after update on children
        for each row execute function f();
    create constraint trigger "of 100%" after update on cousins
        deferrable initially deferred for each row execute function f();
    create trigger of_stranger after delete on strangers
        for each row execute function f();
    create trigger sexton_guard_x before update on part
        for each row execute function f();
    create trigger sexton_guard_y after update on part
        for each row execute function f();
    create trigger off after update on part for each row execute function f();
    alter table part disable trigger off
"""


@pytest.fixture
def world(empty):
    empty.execute(WORLD)
    return empty


def names(connection, **written):
    by_oid = {
        scalar(connection, "select %s::regclass::oid::int8", name): events
        for name, events in written.items()
    }
    return {str(trigger) for trigger in firing(connection, by_oid)}


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ({"parents": INSERT}, {"all_of_it on parents"}),
        ({"parents": UPDATE}, {"of_part on part", "sexton_guard_y on part"}),
        (
            {"parents": DELETE},
            {"all_of_it on parents", "of_child on children", "of 100% on cousins"},
        ),
        ({"part": INSERT}, {"all_of_it on part"}),
        ({"children": UPDATE, "strangers": INSERT}, {"of_child_update on children"}),
        ({}, set()),
    ],
)
def test_those_of_partitions_and_of_what_keys_reach_are_among_them(world, written, found):
    assert names(world, **written) == found


# Before PostgreSQL 15, a partition's copy of a row trigger is marked as internal.
AS_BEFORE_15 = "update pg_trigger set tgisinternal = true where tgparentid <> 0"


def test_copies_on_partitions_count_as_users_whatever_the_server_calls_them(world):
    world.execute(AS_BEFORE_15)
    assert names(world, part=INSERT) == {"all_of_it on part"}
    assert names(world, parents=INSERT) == {"all_of_it on parents"}
    world.execute(
        """
        create table deep (id int) partition by list (id);
        create table middle partition of deep default partition by list (id);
        create table leaf partition of middle default;
        create trigger of_deep after insert on deep for each row execute function f();
        """
    )
    world.execute(AS_BEFORE_15)
    assert names(world, leaf=INSERT) == {"of_deep on leaf"}


def test_those_of_keys_and_unique_constraints_are_nobodys(empty):
    empty.execute(
        """
        create table parents (id int primary key, no int unique deferrable);
        create table children (id int, parent int references parents)
            partition by list (id);
        create table child partition of children default;
        """
    )
    empty.execute(AS_BEFORE_15)
    written = dict.fromkeys(("parents", "child", "children"), INSERT | UPDATE | DELETE)
    assert names(empty, **written) == set()


def test_a_deferred_one_is_known_by_its_constraint(world):
    world.execute('alter trigger "of 100%" on cousins rename to renamed')
    oid = scalar(world, "select 'cousins'::regclass::oid::int8")
    [found] = firing(world, {oid: EVENTS["update"]})
    assert (found.name, found.constraint) == ("renamed", 'public."of 100%"')
    with world.transaction():
        fire(world, [found], whole=False)


@pytest.mark.parametrize("whole", [False, True])
def test_what_was_deferred_happens_and_waits_again(empty, whole):
    empty.execute("create table a (id int); create table b (id int)")
    meddle(empty, "a", "insert into b values (1)", when=AT_COMMIT, events="insert")
    triggers = firing(empty, {scalar(empty, "select 'a'::regclass::oid::int8"): INSERT})
    with empty.transaction():
        empty.execute("insert into a values (1)")
        assert not rows(empty, "select from b")
        fire(empty, triggers, whole=whole)
        assert len(rows(empty, "select from b")) == 1
        empty.execute("insert into a values (2)")
        assert len(rows(empty, "select from b")) == (2 if whole else 1)
    assert len(rows(empty, "select from b")) == 2


def test_where_no_trigger_is_nothing_fires(empty):
    empty.execute(
        """
        create table parents (id int primary key);
        create table children (parent int references parents initially deferred)
        """
    )
    with empty.transaction():
        empty.execute("insert into children values (1)")
        fire(empty, [], whole=True)
        empty.execute("insert into parents values (1)")


def trigger(name, written, events=UPDATE):
    return Trigger(name, "t", written, events, None)


def test_sentences_name_the_likeliest(world):
    mine, other, reached = trigger("a", 1), trigger("b\x1b", 2), trigger("c", None)
    assert meddlers([mine, other, reached], 1, UPDATE) == "the trigger a on t"
    assert meddlers([mine, other], 1, DELETE) == "one of the triggers a on t, b\\x1b on t"
    said = named(("t", {"id": n, "x": "\x1b"}) for n in range(12))
    assert said.startswith("t id=0 x=\\x1b, t id=1 x=\\x1b, ")
    assert said.endswith("t id=9 x=\\x1b and 2 more")
    error = changed_again("the trigger a on t", {"x", "y"}, [("t", {"id": 1})], "so")
    assert (
        error.message
        == "the trigger a on t changed again what was written in x, y: t id=1; so"
    )
