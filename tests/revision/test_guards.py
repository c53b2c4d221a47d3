"""The guards of declared references, beside those that are there."""

import msgspec
import pytest

from sexton.catalog.relations import resolve
from sexton.database import rows
from sexton.errors import Refused, UsageError
from sexton.guard.operations import AddGuard
from sexton.reference import Declarations, Reference
from sexton.revision.guards import Guards
from tests.support.revisions import down, state, up

TABLES = """
    create type tier as enum ('gold', 'tin');
    create table "Parents" (no int, "It" int, dead boolean, primary key (no, "It"));
    create table kids (
        id int primary key, a int, b int, "Up" int references kids, tier tier,
        deleted boolean not null default false, "a.b" int
    );
"""


def looked(connection, ref):
    declared = Declarations(reference=(ref,))
    guards = Guards(connection, declared, resolve(connection, declared.tables()))
    set_, dropped = guards.changes(ref)
    return [*set_, *dropped], guards.notes


def guard(child, parent, guard, live, parent_live=""):
    return Reference(
        child=child, parent=parent, live=live, parent_live=parent_live, guard=guard
    )


ENDS = {
    "two columns": ("kids(a, b)", "Parents(no, It)", "not deleted", "not dead"),
    "itself": ("kids.Up", "kids.id", "not deleted", "not deleted"),
    "an enumerated type": ("kids.Up", "kids.id", "tier = 'gold'", "id > 0"),
}


def test_set_dropped_and_each_taken_back(empty, empty_url):
    empty.execute(TABLES)
    before = state(empty)
    for case, (child, parent, *live) in ENDS.items():
        made, _ = looked(empty, guard(child, parent, True, *live))
        up(empty_url, made)
        after = state(empty)
        assert after != before, case
        assert looked(empty, guard(child, parent, True, *live)) == ([], []), case
        gone, _ = looked(empty, guard(child, parent, False, *live))
        up(empty_url, gone)
        assert looked(empty, guard(child, parent, False, *live)) == ([], []), case
        assert state(empty) == before, case
        down(empty_url, gone)
        assert state(empty) == after, case
        down(empty_url, made)
        assert state(empty) == before, case


DEFERRED = "deferrable initially deferred"


def test_a_guard_in_the_place_of_a_deferred_key_is_deferred_on_both_ways(empty, empty_url):
    empty.execute(f"""
        {TABLES};
        alter table kids add foreign key ("Up") references kids {DEFERRED}
    """)
    before = state(empty)
    ref = guard("kids.Up", "kids.id", True, "not deleted", "not deleted")
    made, _ = looked(empty, ref)
    assert [one.up[0].options["deferrable"] for one in made] == [True]
    up(empty_url, made)
    after = state(empty)
    plain = "kids_Up_fkey", "kids_Up_fkey1"
    keys = rows(empty, "select condeferred, conname from pg_constraint where contype = 'f'")
    assert [row["condeferred"] for row in keys if row["conname"] not in plain] == [True]
    assert looked(empty, ref) == ([], [])
    gone, _ = looked(empty, guard("kids.Up", "kids.id", False, "not deleted"))
    up(empty_url, gone)
    assert state(empty) == before
    down(empty_url, gone)
    assert state(empty) == after
    at_once = msgspec.structs.replace(ref, deferrable=False)
    [change], _ = looked(empty, at_once)
    assert "to be checked at another time" in change.what
    up(empty_url, [change])
    assert looked(empty, at_once) == ([], [])
    down(empty_url, [change])
    assert state(empty) == after
    down(empty_url, made)
    assert state(empty) == before


def test_several_guards_of_one_table_are_told_apart(empty, empty_url):
    empty.execute(TABLES)
    one = guard("kids(a, b)", "Parents(no, It)", True, "not deleted")
    other = guard("kids.Up", "kids.id", True, "not deleted")
    for ref in (one, other):
        up(empty_url, looked(empty, ref)[0])
    both = state(empty)
    assert looked(empty, one) == looked(empty, other) == ([], [])
    [again], _ = looked(empty, guard("kids.Up", "kids.id", True, "not deleted and a > 1"))
    assert "for other rows" in again.what
    assert [type(one) for one in (*again.up, *again.down)] == [AddGuard, AddGuard]
    up(empty_url, [again])
    assert looked(empty, one) == ([], [])
    down(empty_url, [again])
    assert state(empty) == both
    turned = ("kids(b, a)", "Parents(It, no)")
    [other_way], _ = looked(empty, guard(*turned, True, "not deleted and a > 1"))
    up(empty_url, [other_way])
    assert looked(empty, guard(*turned, True, "not deleted and a > 1")) == ([], [])
    down(empty_url, [other_way])
    assert state(empty) == both
    [gone], _ = looked(empty, guard(*turned, False, "not deleted"))
    up(empty_url, [gone])
    assert len(looked(empty, one)[0]) == 1
    assert looked(empty, other) == ([], [])
    down(empty_url, [gone])
    assert state(empty) == both
    unsaid = Reference(child=turned[0], parent=turned[1])
    changes, [note] = looked(empty, unsaid)
    assert (changes, "guard = false drops it" in note) == ([], True)


def test_a_guard_that_is_not_ours_to_say_is_refused(empty, empty_url):
    """A table's owner can have given its check another condition."""
    empty.execute(TABLES)
    up(empty_url, looked(empty, guard("kids.Up", "kids.id", True, "a > 1"))[0])
    empty.execute(
        "create function odd(int) returns boolean immutable language plpgsql "
        "as 'begin return true; end'"
    )
    live, marker = rows(
        empty,
        """
        select conname as name from pg_constraint where conname like 'sexton%live'
        union all
        select attname from pg_attribute
        where attname like 'sexton_live%' and attrelid = 'kids'::regclass
    """,
    )
    empty.execute(f"""
        alter table kids drop constraint {live["name"]}, add constraint {live["name"]}
            check (not ({marker["name"]} is distinct from
                nullif(public.odd(a), false))) not valid
    """)
    with pytest.raises(Refused, match="calls functions of its own"):
        looked(empty, guard("kids.Up", "kids.id", False, "a > 1"))
    with pytest.raises(UsageError, match=r"op\.add_guard cannot name"):
        looked(empty, guard('kids."a.b"', "kids.id", True, "not deleted"))
