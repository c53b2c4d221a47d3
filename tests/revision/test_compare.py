"""All differences of a database, in their order, and all that is against them."""

from pathlib import Path

import pytest

from sexton.errors import Refused, UsageError
from sexton.project import Project
from sexton.reference import Declarations, Default, Reference, SoftDelete
from sexton.revision.compare import compare

TABLES = """
    create table customers (id int primary key, is_default boolean);
    create table lines (id int primary key, up int references customers);
    create view seen as select 1 as id, false as is_default;
"""
SOFT = SoftDelete(table="customers", deleted="gone")


def compared(connection, **declared):
    declarations = Declarations(**declared)
    return compare(connection, Project("shop", file=Path("f.toml"), declared=declarations))


def test_columns_come_first_and_keys_go_last(empty):
    empty.execute(TABLES)
    assert compared(empty) == ([], [])
    line = Reference(
        child="lines.up", parent="customers.id", live="up > 0", key="none", guard=True
    )
    flag = Default(table="customers", flag="is_default")
    made, notes = compared(empty, soft_delete=(SOFT,), reference=(line,), default=(flag,))
    assert [one.what for one in made] == [
        "add gone to customers",
        "build the unique index customers_is_default_idx",
        "build the index lines_up_idx",
        "set the guard of lines.up -> customers.id",
        "drop the foreign key lines_up_fkey of lines",
    ]
    assert notes == []


def test_children_that_no_index_can_find_are_said(empty):
    if empty.info.server_version < 180000:
        return  # a partitioned table can have no guard there: tests/guard/test_binding.py
    empty.execute(
        TABLES
        + """
        create table logs (id int primary key, up int references customers)
            partition by list (id);
        """
    )
    log = Reference(
        child="logs.up", parent="customers.id", live="up > 0", key="none", guard=True
    )
    made, [note] = compared(empty, reference=(log,))
    assert [one.what for one in made] == [
        "set the guard of logs.up -> customers.id",
        "drop the foreign key logs_up_fkey of logs",
    ]
    assert note.startswith("no index finds the rows of logs.up, and none is built online")
    empty.execute("create index on logs (up)")
    assert compared(empty, reference=(log,))[1] == []


def test_a_key_that_only_goes_needs_no_index_and_comes_back_as_declared(empty):
    empty.execute(TABLES)
    line = Reference(
        child="lines.up", parent="customers.id", key="none", on_orphan="delete"
    )
    [made], notes = compared(empty, reference=(line,))
    assert made.what == "drop the foreign key lines_up_fkey of lines"
    assert notes == []
    [back] = made.down
    assert back.key.orphans == "delete"


def test_every_reason_is_said_at_once(empty):
    empty.execute(TABLES)
    with pytest.raises(Refused) as refused:
        compared(
            empty,
            reference=(
                Reference(child="lines.up", parent="seen.id", key="foreign", id=("id",)),
            ),
            default=(
                Default(
                    table="customers", flag="is_default", among="id::text::date < now()"
                ),
            ),
        )
    assert "seen is no table" in refused.value.message
    assert "is not immutable" in refused.value.message
    with pytest.raises(UsageError, match="no table nobody"):
        compared(empty, soft_delete=(SoftDelete(table="nobody", deleted="gone"),))
