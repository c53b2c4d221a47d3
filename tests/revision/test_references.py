"""The keys and indexes of declared references."""

import pytest

from sexton.errors import Refused
from sexton.reference import Reference, SoftDelete
from tests.support.revisions import down, references, state, up

LONG = "t" * 63
TABLES = """
    create schema billing;
    create table billing."Odd Ones" (
        id int primary key, "It's" int, no int, "Up" int, "Up No" int,
        constraint "Up %s {x}" foreign key ("Up") references billing."Odd Ones" (id)
            on delete set default on update cascade deferrable
    );
    create table LONG (id int primary key, up int);
    create table whole (id int primary key, up int) partition by list (id);
    create table part partition of whole for values in (1);
    alter table whole add foreign key (up) references billing."Odd Ones" (id);
    create view seen as select 1 as id;
""".replace("LONG", LONG)
ONES = "billing.Odd Ones"
MADE = {
    "itself, without its key": Reference(
        child=f"{ONES}.Up", parent=f"{ONES}.id", key="none"
    ),
    "itself, by two columns": Reference(
        child=f"{ONES}(Up, Up No)", parent=f"{ONES}(It's, no)", key="foreign"
    ),
    "a long name": Reference(child=f"{LONG}.up", parent=f"{LONG}.id", key="foreign"),
    "a partitioned child": Reference(child="whole.up", parent=f"{ONES}.id", key="none"),
}


def test_what_is_made_is_there_and_is_taken_back(empty, empty_url):
    empty.execute(TABLES)
    before = state(empty)
    for case, ref in MADE.items():
        if case == "a partitioned child" and empty.info.server_version < 180000:
            continue  # none can be made NOT VALID there: the way back is refused
        made = references(empty, ref)
        assert made, case
        up(empty_url, made)
        after = state(empty)
        assert after != before, case
        assert references(empty, ref) == [], case
        down(empty_url, made)
        assert state(empty) == before, case
        up(empty_url, made)
        assert state(empty) == after, case
        down(empty_url, made)


def test_two_references_over_the_same_columns_share_an_index(empty):
    empty.execute(
        "create table a (id int primary key, x int); "
        "create table b (id int primary key); create table c (id int)"
    )
    made = references(
        empty,
        Reference(child="a.x", parent="b.id", key="foreign", on_orphan="null"),
        Reference(child="a.x", parent="c.id", key="foreign", on_orphan="delete"),
    )
    assert [one.what for one in made] == [
        "build the index a_x_idx",
        "build the unique index c_id_key",
        "make the foreign key a_x_fkey of a.x -> b.id",
        "make the foreign key a_x_fkey1 of a.x -> c.id",
    ]
    assert [one.up[0].key.orphans for one in made[2:]] == ["null", "delete"]
    [_, key] = references(
        empty,
        Reference(child="a.x", parent="b.id", key="foreign", on_orphan="delete"),
        soft_delete=(SoftDelete(table="a", deleted="gone"),),
    )
    assert key.up[0].key.orphans == "refuse", "on_orphan speaks of live children alone"


def test_a_key_that_nothing_enforces(empty):
    version = empty.info.server_version
    how = "not enforced" if version >= 180000 else "not valid"
    empty.execute(f"""
        create table customers (id int primary key);
        create table lines (id int primary key, up int);
        alter table lines add constraint loose foreign key (up) references customers {how}
    """)
    [*_, made] = references(
        empty, Reference(child="lines.up", parent="customers.id", key="foreign")
    )
    assert made.up[0].key.name == ("lines_up_fkey" if version >= 180000 else "loose")
    none = Reference(child="lines.up", parent="customers.id", key="none")
    if version >= 180000:
        with pytest.raises(Refused, match="loose of lines is NOT ENFORCED"):
            references(empty, none)
    else:
        assert "downgrade makes a valid one" in references(empty, none)[-1].note


def test_what_no_operation_can_do_is_refused(empty):
    empty.execute(TABLES)
    with pytest.raises(Refused, match="whole_up_fkey of part is inherited"):
        references(empty, Reference(child="part.up", parent=f"{ONES}.id", key="none"))
    with pytest.raises(Refused, match="seen is no table"):
        references(empty, Reference(child="part.up", parent="seen.id", key="foreign"))
