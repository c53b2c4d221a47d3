"""The unique indexes of declared defaults."""

import pytest

from sexton.catalog.relations import resolve
from sexton.errors import Refused
from sexton.reference import Declarations, Default, SoftDelete
from sexton.revision import defaults
from sexton.revision.catalog import Names
from tests.support.revisions import down, state, up


def changes(connection, *flags, **more):
    declared = Declarations(default=flags, **more)
    relations = resolve(connection, declared.tables())
    return defaults.changes(connection, declared, relations, Names(connection))[0]


def notes(connection, flag):
    declared = Declarations(default=(flag,))
    relations = resolve(connection, declared.tables())
    made, notes = defaults.changes(connection, declared, relations, Names(connection))
    assert made == []
    return notes


DEFAULTS = """
    create table {table} (
        id int primary key, owner int, name text, is_default boolean not null,
        deleted boolean not null default false
    );
    create unique index on {table} {index};
"""
# Whether an index like this holds the default to one row, or to one of each owner.
HELD = {
    "((1)) where is_default = true and deleted = false": (True, True),
    "(is_default) where is_default = true": (True, True),
    "((true)) where not deleted and is_default": (True, True),
    "(owner) where is_default": (False, True),
    "(owner, is_default) where not deleted and is_default = true": (False, True),
    "(name) where is_default": (False, False),
    "(lower(name)) where is_default": (False, False),
    "((1)) where is_default and name = 'x'": (False, False),
    "((1)) where is_default and billing.odd(deleted)": (False, False),
    "(owner, is_default)": (False, False),
}


ODD = """
    create schema billing;
    create function billing.odd(boolean) returns boolean immutable language sql
        as 'select $1';
"""


def test_an_index_that_holds_a_default_already_is_known_however_it_is_spelt(empty):
    empty.execute(ODD)
    flags, wanted = [], []
    for number, (index, (one, each)) in enumerate(HELD.items()):
        table = f"t{number}"
        empty.execute(DEFAULTS.format(table=table, index=index))
        for per, held in (((), one), (("owner",), each)):
            flags.append(
                Default(table=table, flag="is_default", per=per, among="not deleted")
            )
            wanted += [] if held else [(table, per or ("is_default",))]
    indexes = [one.up[0].index for one in changes(empty, *flags)]
    assert [(index.table.name, index.columns) for index in indexes] == wanted


MADE = """
    create schema billing;
    create type billing.tier as enum ('gold', 'tin');
    create table billing."Odd Ones" (
        id int primary key, "Owner" int, no int, "Is Default" boolean not null,
        tier billing.tier, "order" boolean
    );
    create table whole (id int primary key, is_default boolean) partition by list (id);
"""
ODDS = [
    {},
    {"per": ("no", "Owner")},
    {"among": "tier = 'gold'"},
    {"among": "tier = 'tin'::billing.tier and \"order\""},
    {"among": 'not "order" -- it\'s so', "per": ("no",)},
    {"among": "no % 2 = 0 or no is null", "per": ("Owner",)},
]


def test_what_is_built_holds_and_is_taken_back(empty, empty_url):
    empty.execute(MADE)
    before = state(empty)
    for more in ODDS:
        flag = Default(table="billing.Odd Ones", flag="Is Default", **more)
        made = changes(empty, flag)
        assert len(made) == 1, more
        up(empty_url, made)
        assert changes(empty, flag) == [], more
        assert state(empty) != before, more
        down(empty_url, made)
        assert state(empty) == before, more


def test_where_no_index_can_be_built(empty):
    empty.execute(MADE)
    empty.execute("create view seen as select * from whole")
    whole = Default(table="whole", flag="is_default", among="now() > '2000-01-01'")
    assert notes(empty, whole) == [
        "no index holds whole.is_default to one row, for whole is partitioned: two writers "
        "can both set it, and sexton audit whole_default_ambiguous finds them"
    ]
    [note] = notes(empty, Default(table="seen", flag="is_default", per=("id",)))
    assert "to one row for each id, for seen is a view: " in note
    # By hand one can, where the key of the partitions is in it.
    empty.execute("create unique index on whole (id, is_default) where is_default")
    assert notes(empty, Default(table="whole", flag="is_default", per=("id",))) == []
    with pytest.raises(Refused, match=r"the default of Odd Ones: .* is not immutable"):
        changes(
            empty,
            Default(table="billing.Odd Ones", flag="order", among="id < now()::text::int"),
        )
    coming = SoftDelete(table="billing.Odd Ones", deleted="gone")
    [one] = changes(
        empty, Default(table="billing.Odd Ones", flag="order"), soft_delete=(coming,)
    )
    assert one.up[0].index.where == '"order" and (not gone)'
